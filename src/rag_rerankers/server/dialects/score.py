"""vLLM's score: pairs in, a score for each out, in the order of the pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rag_rerankers.server.dialects.job import Job, Outcome, checked
from rag_rerankers.server.problems import Problem
from rag_rerankers.server.schemas import ScoreBody

__all__ = ["parse"]

_PAIRS = (
    ("text_1", "text_2"),
    ("data_1", "data_2"),
    ("queries", "documents"),
    ("queries", "items"),
)


def parse(
    body: Mapping[str, Any],
) -> tuple[list[Job], Callable[[list[Outcome]], dict[str, Any]]]:
    """What is asked for, one ranking for each different query, and what makes the answer.

    Raises:
        Problem: 422, the body is not as the dialect has it.
    """
    asked = checked(ScoreBody, body)
    queries, texts = _pairs(asked)
    places: dict[str, list[int]] = {}
    for place, query in enumerate(queries):
        places.setdefault(query, []).append(place)
    jobs = [
        Job(query=query, texts=[texts[place] for place in own], model=asked.model)
        for query, own in places.items()
    ]
    raw = asked.use_activation is False

    def render(outcomes: list[Outcome]) -> dict[str, Any]:
        scores = [0.0] * len(texts)
        for outcome, own in zip(outcomes, places.values(), strict=True):
            for hit in outcome.hits:
                scores[own[hit.index]] = hit.score if raw else hit.relevance
        tokens = sum(outcome.tokens for outcome in outcomes)
        return {
            "id": f"score-{outcomes[0].id}",
            "object": "list",
            "created": outcomes[0].created,
            "model": outcomes[0].model,
            "data": [
                {"index": index, "object": "score", "score": score}
                for index, score in enumerate(scores)
            ],
            "usage": {
                "prompt_tokens": tokens,
                "total_tokens": tokens,
                "completion_tokens": 0,
            },
        }

    return jobs, render


def _pairs(asked: ScoreBody) -> tuple[list[str], list[str]]:
    for first, second in _PAIRS:
        left, right = getattr(asked, first), getattr(asked, second)
        if left is None or right is None:
            continue
        queries = [left] if isinstance(left, str) else left
        texts = [right] if isinstance(right, str) else right
        if not texts or len(queries) not in (1, len(texts)):
            raise Problem(
                422,
                f"{first} has {len(queries)} texts and {second} has {len(texts)}: there must be "
                "one with any number, or as many of both",
            )
        return queries if len(queries) == len(texts) else queries * len(texts), texts
    raise Problem(422, "text_1 and text_2 are needed (or queries and documents)")
