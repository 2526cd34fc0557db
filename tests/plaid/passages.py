"""Random passages, and a search that looks at all of them."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tests.checkpoints import WORDS

from rag_rerankers import Reranker

__all__ = ["Exhaustive", "passages"]


def passages(n: int, seed: int = 0) -> list[str]:
    """Texts of 3 to 12 words."""
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS, k=chosen.randint(3, 12))) for _ in range(n)]


class Exhaustive:
    """Scores every passage: what a search without an index finds."""

    def __init__(self, reranker: Reranker, texts: Mapping[str, str]) -> None:
        self.reranker = reranker
        self.texts = texts

    def search(self, query: str, k: int) -> list[tuple[str, float]]:
        ids = list(self.texts)
        ranked = self.reranker.rank(query, self.texts.values(), top_n=k)
        return [(ids[hit.index], hit.score) for hit in ranked]
