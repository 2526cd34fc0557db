"""Scorers with scores from a table, and cascades of them."""

from __future__ import annotations

from rag_rerankers import CascadeScorer

__all__ = ["Eighths", "Table", "pair"]


class Table:
    """Looks scores up by text, and keeps what it was asked; its relevance is the sigmoid."""

    def __init__(self, scores):
        self.scores = scores
        self.calls = []

    def score(self, query, texts):
        self.calls.append(list(texts))
        return [self.scores[text] for text in texts]


class Eighths(Table):
    """Scores of 0..8."""

    def relevance(self, query, scores):
        return [min(1.0, max(0.0, score / 8)) for score in scores]


def pair(cheap, strong, keep, cheap_kind=Table, strong_kind=Table):
    """A cascade over the texts "0", "1", ...; None stands for a score that nobody asks for."""
    names = [str(i) for i in range(len(cheap))]
    stages = [
        kind(dict(zip(names, s, strict=True)))
        for kind, s in ((cheap_kind, cheap), (strong_kind, strong))
    ]
    return CascadeScorer(stages, keep), names
