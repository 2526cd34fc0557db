"""The project's own dialect: ``Reranker.rank`` over HTTP, raw scores and relevance both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rag_rerankers.server.dialects.job import Job, Outcome, checked
from rag_rerankers.server.schemas import RankBody

__all__ = ["parse"]


def parse(body: Mapping[str, Any]) -> tuple[Job, Callable[[Outcome], dict[str, Any]]]:
    """What is asked for, and what makes the answer.

    Raises:
        Problem: 422, the body is not as the dialect has it.
    """
    asked = checked(RankBody, body)
    job = Job(
        query=asked.query,
        texts=asked.texts,
        model=asked.model,
        top_n=asked.top_n,
        threshold=asked.threshold,
    )

    def render(outcome: Outcome) -> dict[str, Any]:
        hits = []
        for hit in outcome.hits:
            shown: dict[str, Any] = {
                "index": hit.index,
                "score": hit.score,
                "relevance": hit.relevance,
            }
            if asked.return_texts:
                shown["text"] = hit.text
            hits.append(shown)
        return {
            "model": outcome.model,
            "hits": hits,
            "tokens": outcome.tokens,
            "truncated": outcome.cut,
            "seconds": outcome.seconds,
        }

    return job, render
