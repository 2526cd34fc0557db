"""The arithmetic of the tables: medians, ratios within a round, straight lines."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Line", "Spread", "correlation", "line", "paired_ratio", "percentile", "spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the least and the greatest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """``y = slope x + intercept``, and the share of the variance that it explains."""

    slope: float
    intercept: float
    r2: float


def spread(values: Sequence[float]) -> Spread:
    """Median, minimum and maximum."""
    return Spread(statistics.median(values), min(values), max(values))


def paired_ratio(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times as long they took, round by round: what slows a round hits both.

    Raises:
        ValueError: Not the same number of rounds, or none.
    """
    if len(theirs) != len(ours) or not ours:
        raise ValueError(f"{len(theirs)} and {len(ours)} rounds cannot be paired")
    return spread([one / other for one, other in zip(theirs, ours, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Least squares."""
    slope, intercept = statistics.linear_regression(x, y)
    return Line(slope, intercept, statistics.correlation(x, y) ** 2)


def correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Pearson's; None where one of them does not vary."""
    try:
        return statistics.correlation(a, b)
    except statistics.StatisticsError:
        return None
