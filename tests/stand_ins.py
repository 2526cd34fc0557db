"""Scorers that stand in for models."""

from __future__ import annotations

import numpy as np


class Given:
    """Returns the scores that it was given."""

    def __init__(self, *scores: float) -> None:
        self.scores = scores
        self.calls: list[tuple[str, list[str]]] = []

    def score(self, query, texts):
        self.calls.append((query, texts))
        return self.scores


class Calibrated(Given):
    """Scores in 0..8."""

    def relevance(self, query, scores):
        return [np.float32(score / 8) for score in scores]


class Length:
    """The longer, the better; picklable."""

    def score(self, query, texts):
        return [float(len(text)) for text in texts]
