"""What the clients ask, and what they must be told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from rag_rerankers import RankedDocument, Reranker

__all__ = ["KEY", "QUERY", "TEXTS", "Served"]

QUERY = "what is a giant panda?"
TEXTS = (
    "The capital of France is Paris.",
    "The giant panda is a bear that lives in China and eats bamboo.",
    "大熊猫是一种生活在中国的熊。",
    "",
    "A red panda is closer to raccoons than to bears 🐼.",
    'Quotes " and \\ and \u2028 and a tab\tare characters like any other.',
    "giant",
    "Pandas 🐼🎋 sind Bären, naïve façade, e\u0301.",
)
KEY = "a-key-for-the-tests"


@dataclass(frozen=True)
class Served:
    """A server that runs, and its models once more.

    Attributes:
        url: Without a slash at the end.
        rerankers: By the names that the server gives them; the first is its default.
    """

    url: str
    rerankers: dict[str, Reranker]

    def hits(
        self, texts: Sequence[str] = TEXTS, *, top_n: int | None = None, model: str | None = None
    ) -> list[RankedDocument]:
        """What the reranker in this process says to ``QUERY``."""
        name = model or next(iter(self.rerankers))
        return self.rerankers[name].rank(QUERY, texts, top_n=top_n)

    def agrees(
        self,
        answer: Iterable[tuple[int, float]],
        hits: Sequence[RankedDocument],
        *,
        raw: bool = False,
    ) -> None:
        """Assert that pairs of index and score are these hits, in this order."""
        pairs = list(answer)
        assert [index for index, _ in pairs] == [hit.index for hit in hits]
        expected = [hit.score if raw else hit.relevance for hit in hits]
        assert [score for _, score in pairs] == pytest.approx(expected, abs=1e-6)
