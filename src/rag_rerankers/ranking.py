"""Scores to order: stable, checked, cut to ``top_n`` and ``threshold``."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real

from rag_rerankers.errors import ScoreError
from rag_rerankers.sigmoid import sigmoid
from rag_rerankers.types import CalibratedScorer, CalibratedScores, Scorer

__all__ = [
    "Calibration",
    "calibration_of",
    "check_relevance",
    "check_scores",
    "check_threshold",
    "check_top_n",
    "order",
    "relevance_of",
]

Calibration = Callable[[Sequence[float]], list[float]]


def check_top_n(top_n: object) -> None:
    """Refuse a ``top_n`` that is neither None nor a whole number of at least 0.

    Raises:
        TypeError: It is not an int.
        ValueError: It is negative.
    """
    if top_n is None:
        return
    if isinstance(top_n, bool) or not isinstance(top_n, Integral):
        raise TypeError(f"top_n must be an int or None (keep all), not {top_n!r}")
    if int(top_n) < 0:
        raise ValueError(f"top_n must be 0 or more, or None (keep all), not {top_n}")


def check_threshold(threshold: object) -> None:
    """Refuse a ``threshold`` that is not a number in 0..1.

    Raises:
        TypeError: It is not a number.
        ValueError: It is outside 0..1.
    """
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, Real):
        raise TypeError(f"threshold must be a number in 0..1 or None, not {threshold!r}")
    if not 0.0 <= float(threshold) <= 1.0:
        raise ValueError(
            f"threshold is on relevance, which lies in 0..1, but is {threshold}. "
            "To cut on raw scores, filter the hits by .score"
        )


def check_scores(
    scores: Sequence[float], n_texts: int, indices: Sequence[int] | None = None
) -> list[float]:
    """Turn what a scorer returned into Python floats, one per text.

    Args:
        scores: Anything that iterates over numbers (a list, a NumPy array, ...).
        n_texts: How many texts were scored.
        indices: Where these texts stand in the caller's list, if they are not all of it.

    Raises:
        ScoreError: Wrong number of scores, or scores that are NaN; the message lists their indices.
    """
    try:
        checked = [float(score) for score in scores]
    except (TypeError, ValueError) as error:
        raise ScoreError(
            f"the scorer returned {scores!r:.80}: a list of one number per text is needed"
        ) from error
    if len(checked) != n_texts:
        raise ScoreError(f"the scorer returned {len(checked)} scores for {n_texts} texts")
    named = range(n_texts) if indices is None else indices
    bad = [i for i, score in zip(named, checked, strict=True) if math.isnan(score)]
    if bad:
        shown = ", ".join(map(str, bad[:20])) + (", ..." if len(bad) > 20 else "")
        raise ScoreError(
            f"{len(bad)} of {n_texts} scores are NaN, at indices {shown}. "
            "A half-precision model may have overflowed: try dtype='float32'"
        )
    return checked


def check_relevance(relevance: Sequence[float], n_texts: int) -> list[float]:
    """Turn what a scorer calls relevance into Python floats, one per text.

    Raises:
        ScoreError: Wrong number, or a value outside 0..1; the message lists their indices.
    """
    checked = check_scores(relevance, n_texts)
    bad = [i for i, value in enumerate(checked) if not 0.0 <= value <= 1.0]
    if bad:
        raise ScoreError(
            f"relevance lies in 0..1, but the scorer's is {checked[bad[0]]} at index {bad[0]} "
            f"({len(bad)} of {n_texts} are outside)"
        )
    return checked


def relevance_of(scorer: Scorer, query: str, scores: Sequence[float]) -> list[float]:
    """Raw scores on the scale 0..1: as the scorer calibrates them, or by the logistic sigmoid.

    Raises:
        ScoreError: The scorer's calibration leaves 0..1.
    """
    if isinstance(scorer, CalibratedScorer):
        return check_relevance(scorer.relevance(query, scores), len(scores))
    return [sigmoid(score) for score in scores]


def calibration_of(scorer: Scorer, query: str, scores: Sequence[float]) -> Calibration:
    """What turns scores of one answer, and of texts placed between them, into relevance.

    Args:
        scorer: Who gave the scores.
        query: The query that they belong to.
        scores: As the scorer returned them; perhaps :class:`~rag_rerankers.CalibratedScores`.

    Raises:
        ScoreError: The relevance that came with the scores leaves 0..1.
    """
    if not isinstance(scores, CalibratedScores):
        return lambda values: relevance_of(scorer, query, values)
    known = dict(zip(scores, check_relevance(scores.relevance, len(scores)), strict=True))
    levels = sorted(known)
    return lambda values: [_between(levels, known, value) for value in values]


def _between(levels: Sequence[float], known: Mapping[float, float], score: float) -> float:
    """The relevance of a score, of which that of some others is known.

    Between two of them on a line; beyond all of them as far from the nearest, in logits, as the
    score is: that is exact for logits, and falls to 0 and rises to 1 on any scale.
    """
    if score in known:
        return known[score]
    place = bisect_left(levels, score)
    if 0 < place < len(levels):
        low, high = levels[place - 1], levels[place]
        share = (score - low) / (high - low) if math.isfinite(high - low) else 0.5
        return known[low] + share * (known[high] - known[low])
    nearest = levels[0] if place == 0 else levels[-1]
    relevance = min(max(known[nearest], 1e-12), 1 - 1e-12)
    beyond = sigmoid(math.log(relevance / (1 - relevance)) + (score - nearest))
    return min(beyond, known[nearest]) if score < nearest else max(beyond, known[nearest])


def order(scores: Sequence[float]) -> list[int]:
    """Indices from the highest score to the lowest; ties keep the input order.

    Example:
        >>> order([0.1, 0.9, 0.5, 0.9])
        [1, 3, 2, 0]
    """
    # sorted() is stable also with reverse=True: equal scores keep their input order.
    return sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
