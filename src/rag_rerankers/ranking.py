"""Scores to order: stable, checked, cut to ``top_n`` and ``threshold``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rag_rerankers.errors import ScoreError

__all__ = ["check_scores", "check_threshold", "check_top_n", "order", "sigmoid"]


def sigmoid(score: float) -> float:
    """Logistic sigmoid that does not overflow.

    Example:
        >>> sigmoid(0.0)
        0.5
        >>> sigmoid(-1000.0), sigmoid(1000.0)
        (0.0, 1.0)
    """
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-score))
    # exp of a large positive number overflows; of a large negative one it is 0.
    tail = math.exp(score)
    return tail / (1.0 + tail)


def check_top_n(top_n: int | None) -> None:
    """Refuse a ``top_n`` that is neither None nor a whole number of at least 0.

    Raises:
        TypeError: It is not an int.
        ValueError: It is negative.
    """
    if top_n is None:
        return
    if isinstance(top_n, bool) or not isinstance(top_n, int):
        raise TypeError(f"top_n must be an int or None (keep all), not {top_n!r}")
    if top_n < 0:
        raise ValueError(f"top_n must be 0 or more, or None (keep all), not {top_n}")


def check_threshold(threshold: float | None) -> None:
    """Refuse a ``threshold`` that is not a number in 0..1.

    Raises:
        TypeError: It is not a number.
        ValueError: It is outside 0..1.
    """
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise TypeError(f"threshold must be a number in 0..1 or None, not {threshold!r}")
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(
            f"threshold is on relevance, which lies in 0..1, but is {threshold}. "
            "To cut on raw scores, filter the hits by .score"
        )


def check_scores(scores: Sequence[float], n_texts: int) -> list[float]:
    """Turn what a scorer returned into Python floats, one per text.

    Args:
        scores: Anything that iterates over numbers (a list, a NumPy array, ...).
        n_texts: How many texts were scored.

    Raises:
        ScoreError: Wrong number of scores, or scores that are NaN; the message lists their indices.
    """
    checked = [float(score) for score in scores]
    if len(checked) != n_texts:
        raise ScoreError(f"the scorer returned {len(checked)} scores for {n_texts} texts")
    bad = [i for i, score in enumerate(checked) if math.isnan(score)]
    if bad:
        shown = ", ".join(map(str, bad[:20])) + (", ..." if len(bad) > 20 else "")
        raise ScoreError(
            f"{len(bad)} of {n_texts} scores are NaN, at indices {shown}. "
            "A half-precision model may have overflowed: try dtype='float32'"
        )
    return checked


def order(scores: Sequence[float]) -> list[int]:
    """Indices from the highest score to the lowest; ties keep the input order.

    Example:
        >>> order([0.1, 0.9, 0.5, 0.9])
        [1, 3, 2, 0]
    """
    # sorted() is stable also with reverse=True: equal scores keep their input order.
    return sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
