"""text-embeddings-inference: ``texts`` in, a bare list out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rag_rerankers.server.dialects.job import Job, Outcome, checked
from rag_rerankers.server.schemas import TeiBody

__all__ = ["parse"]


def parse(body: Mapping[str, Any]) -> tuple[Job, Callable[[Outcome], list[dict[str, Any]]]]:
    """What is asked for, and what makes the answer.

    Raises:
        Problem: 422, the body is not as the dialect has it.
    """
    asked = checked(TeiBody, body)

    def render(outcome: Outcome) -> list[dict[str, Any]]:
        results = []
        for hit in outcome.hits:
            result: dict[str, Any] = {
                "index": hit.index,
                "score": hit.score if asked.raw_scores else hit.relevance,
            }
            if asked.return_text:
                result["text"] = hit.text
            results.append(result)
        return results

    # Not TEI's own, but some of its clients send it, and mean it.
    top_n = asked.top_n or None
    return Job(query=asked.query, texts=asked.texts, model=asked.model, top_n=top_n), render
