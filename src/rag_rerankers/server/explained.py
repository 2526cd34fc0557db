"""An explanation as JSON."""

from __future__ import annotations

import math
from typing import Any

from rag_rerankers.explanation import Explanation
from rag_rerankers.explanation.records import Token

__all__ = ["as_json"]


def as_json(explanation: Explanation, model: str) -> dict[str, Any]:
    """The body of :class:`~rag_rerankers.server.schemas.ExplainedBody`."""
    return {
        "model": model,
        "query": explanation.query,
        "text": explanation.text,
        "score": explanation.score,
        "relevance": explanation.relevance,
        "mean": explanation.mean,
        "query_tokens": [_token(match.token) for match in explanation.matches],
        "tokens": [_token(token) for token in explanation.tokens],
        "similarities": [
            # JSON has no infinity: what cannot be matched is null.
            [value if math.isfinite(value) else None for value in row]
            for row in explanation.similarities
        ],
        "matches": [
            {"query_token": number, "token": match.index, "similarity": match.similarity}
            for number, match in enumerate(explanation.matches)
        ],
    }


def _token(token: Token) -> dict[str, Any]:
    return {"text": token.text, "kind": token.kind, "span": token.span}
