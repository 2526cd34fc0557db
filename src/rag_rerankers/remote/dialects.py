"""What servers want to be asked, and how they answer.

========  =====================  =============================================  ===============
name      path                   body, besides the query                        answer
========  =====================  =============================================  ===============
native    /rank                  texts                                          hits
cohere    /rerank, /v1/, /v2/    documents, top_n                               results (or data)
tei       /rerank                texts, raw_scores, truncate                    a bare list
========  =====================  =============================================  ===============

``cohere`` is also what Jina, infinity, vLLM, llama.cpp and others speak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rag_rerankers.remote.answers import (
    Answer,
    UnreadableError,
    excerpt,
    parsed,
    read_hits,
    tokens_of,
)
from rag_rerankers.remote.endpoint import Endpoint
from rag_rerankers.remote.messages import Reply, Request, post
from rag_rerankers.sigmoid import sigmoid

__all__ = ["DIALECTS", "LIMITS", "Dialect", "Name", "are_relevance", "relevance_of_numbers"]

Name = Literal["native", "cohere", "tei"]
DIALECTS = ("auto", "native", "cohere", "tei")
LIMITS: dict[Name, int] = {"native": 1000, "cohere": 1000, "tei": 32}
"""Texts in one request, unless the server tells another number: what Cohere and TEI allow."""

# Probabilities that were rounded on their way.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Dialect:
    """How one server is spoken to.

    Attributes:
        name: ``"native"``, ``"cohere"`` or ``"tei"``.
        url: What is posted to.
        model: The model's name there; None if the server is not told one.
        limit: Texts in one request.
        more: Further members of the body.
        logits: Whether the scores are known to be logits; otherwise the numbers tell.
    """

    name: Name
    url: str
    model: str | None = None
    limit: int = 1000
    more: Mapping[str, Any] = field(default_factory=dict)
    logits: bool = False

    def request(self, query: str, texts: Sequence[str]) -> Request:
        """Ask for the scores of all texts."""
        body: dict[str, Any] = {"query": query, **self.more}
        if self.model is not None and self.name != "tei":
            body["model"] = self.model
        if self.name == "cohere":
            # Some servers return a few only, unless told.
            body |= {"documents": list(texts), "top_n": len(texts)}
        else:
            body["texts"] = list(texts)
        return post(self.url, body)

    def read(self, reply: Reply, n_texts: int, endpoint: Endpoint) -> Answer:
        """The scores in an answer of status 200.

        Raises:
            UnreadableError: It is no ranking of these texts in this dialect.
        """
        body = parsed(reply)
        try:
            if self.name == "tei":
                scores, _ = read_hits(body, n_texts, "score")
                return Answer(scores)
            if not isinstance(body, dict):
                raise ValueError("it is no JSON object")  # noqa: TRY004 -- data, no argument
            if self.name == "native":
                scores, relevance = read_hits(body.get("hits"), n_texts, "score", "relevance")
                return Answer(scores, relevance, tokens_of(body, "tokens"))
            hits = body["results"] if "results" in body else body.get("data")
            scores, _ = read_hits(hits, n_texts, "relevance_score")
        except ValueError as error:
            raise UnreadableError(
                f"{self.url} answered, but not with a ranking of {n_texts} texts ({error}): "
                f"{excerpt(reply.body, endpoint)}",
                url=self.url,
                status=reply.status,
            ) from None
        return Answer(scores, tokens=tokens_of(body, "usage", "total_tokens"))


def relevance_of_numbers(scores: Sequence[float], *, logits: bool) -> list[float]:
    """What a server's numbers are on the scale 0..1: itself, or the sigmoid of logits."""
    if logits:
        return [sigmoid(score) for score in scores]
    return [min(max(score, 0.0), 1.0) for score in scores]


def are_relevance(scores: Sequence[float]) -> bool:
    """Whether all scores lie in 0..1."""
    return all(-_ROUNDING <= score <= 1.0 + _ROUNDING for score in scores)
