"""A late-interaction scorer that keeps its documents' vectors in memory.

An evaluation asks for the same passages again and again; the vectors of a passage do not depend on
the question, so encoding each once gives the same scores in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rag_rerankers.scorers.late_interaction import LateInteractionScorer
from rag_rerankers.scorers.maxsim import maxsim


class EncodedOnce:
    """Scores as the scorer does that it is made of, with ``long_documents="truncate"``."""

    def __init__(self, scorer: LateInteractionScorer) -> None:
        self.engine = scorer.engine
        self._scorer = scorer
        self._vectors: dict[str, torch.Tensor] = {}

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One MaxSim score per text."""
        self._encode([text for text in dict.fromkeys(texts) if text not in self._vectors])
        found = [self._vectors[text] for text in texts]
        lengths = [len(vectors) for vectors in found]
        scores = maxsim(self._scorer.encoder.query(query).vectors, torch.cat(found), lengths)
        return [float(score) for score in scores.tolist()]

    def relevance(self, query: str, scores: Sequence[float]) -> list[float]:
        """As the scorer."""
        return self._scorer.relevance(query, scores)

    def _encode(self, texts: Sequence[str]) -> None:
        self._vectors |= zip(texts, self._scorer.encoder.documents(texts), strict=True)
