"""Is one ranking better than another, or is it chance? By SciPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rag_rerankers.extras import needed

__all__ = ["Difference", "compare_values"]

_RESAMPLES = 9999
# Numbers drawn at once: thousands of queries times thousands of resamples would fill the memory.
_DRAWN = 4_000_000
_SAME = 1e-9


@dataclass(frozen=True)
class Difference:
    """One system against another in one measure, query by query.

    Attributes:
        measure: Such as ``nDCG@10``.
        baseline: The system that is compared with.
        system: The system.
        before: Mean of the baseline.
        after: Mean of the system.
        low: Lower end of the 95 % interval of the mean difference (paired percentile bootstrap).
        high: Its upper end.
        p_value: Two-sided paired randomisation test: how often chance alone, by swapping the two
            systems in random queries, gives a mean difference at least as large.
        wins: Queries in which the system is better.
        losses: Queries in which it is worse.
        ties: Queries in which both are equal.
    """

    measure: str
    baseline: str
    system: str
    before: float
    after: float
    low: float
    high: float
    p_value: float
    wins: int
    losses: int
    ties: int

    @property
    def delta(self) -> float:
        """Mean difference."""
        return self.after - self.before

    @property
    def significant(self) -> bool:
        """Whether the p-value is below .05."""
        return self.p_value < 0.05


def compare_values(
    measure: str,
    baseline: tuple[str, Mapping[str, float]],
    system: tuple[str, Mapping[str, float]],
    seed: int = 0,
) -> Difference:
    """Compare two systems over the same queries.

    Args:
        measure: The measure's name.
        baseline: Name and values by query.
        system: Name and values of the same queries.
        seed: The draws are the same at every call.
    """
    stats = needed("scipy.stats", "significance tests")
    queries = list(baseline[1])
    before = np.array([baseline[1][id_] for id_ in queries])
    after = np.array([system[1][id_] for id_ in queries])
    gain = after - before
    low = high = float(gain.mean())
    p_value = 1.0
    if len(queries) > 1 and np.ptp(gain) > _SAME:
        interval = stats.bootstrap(
            (gain,),
            np.mean,
            n_resamples=_RESAMPLES,
            method="percentile",
            batch=max(1, _DRAWN // len(queries)),
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    changed = gain[np.abs(gain) > _SAME]
    # Swapping equal values changes nothing: the sum needs the others alone. Of a single one, the
    # swap has the same size: chance always gives as much.
    if len(changed) > 1:
        p_value = float(
            stats.permutation_test(
                (changed,),
                np.sum,
                permutation_type="samples",
                n_resamples=_RESAMPLES,
                batch=max(1, _DRAWN // len(changed)),
                rng=np.random.default_rng(seed),
            ).pvalue
        )
    return Difference(
        measure,
        baseline[0],
        system[0],
        before=float(before.mean()),
        after=float(after.mean()),
        low=low,
        high=high,
        p_value=p_value,
        wins=int((gain > _SAME).sum()),
        losses=int((gain < -_SAME).sum()),
        ties=int((np.abs(gain) <= _SAME).sum()),
    )
