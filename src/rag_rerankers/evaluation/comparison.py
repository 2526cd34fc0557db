"""How two rankings of the same questions differ; no judgments needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rag_rerankers.evaluation.runs import Run
from rag_rerankers.extras import needed

__all__ = ["Comparison", "Disagreement", "QueryComparison", "compare"]


@dataclass(frozen=True)
class Disagreement:
    """A document that one ranking puts far above where the other puts it.

    Attributes:
        query: The query's id.
        document: The document's id.
        first: Its rank in the first ranking, from 1; None if it is not there.
        second: Its rank in the second.
    """

    query: str
    document: str
    first: int | None
    second: int | None

    @property
    def weight(self) -> float:
        """Difference of the reciprocal ranks: the top counts most."""
        return abs(_reciprocal(self.first) - _reciprocal(self.second))


@dataclass(frozen=True)
class QueryComparison:
    """Two rankings for one query.

    Attributes:
        query: The query's id.
        overlap: Share of the first k that both have.
        tau: Kendall's tau over the documents that both rank, 1 if there are fewer than two.
        movement: Mean distance, in ranks, between the places of documents that are among the
            first k of either and ranked by both.
        disagreements: Documents among the first k of either that changed places, the one that
            matters most first.
    """

    query: str
    overlap: float
    tau: float
    movement: float
    disagreements: tuple[Disagreement, ...]


@dataclass(frozen=True)
class Comparison:
    """Two rankings of the same questions.

    Attributes:
        first: Name of one.
        second: Name of the other.
        k: How far down was looked.
        queries: Per query, in the order of the first run.
    """

    first: str
    second: str
    k: int
    queries: tuple[QueryComparison, ...]

    @property
    def overlap(self) -> float:
        """Mean share of the first k that both have."""
        return fmean(query.overlap for query in self.queries)

    @property
    def tau(self) -> float:
        """Mean of Kendall's tau."""
        return fmean(query.tau for query in self.queries)

    @property
    def movement(self) -> float:
        """Mean movement, in ranks."""
        return fmean(query.movement for query in self.queries)

    @property
    def same_first(self) -> float:
        """Share of the queries for which both put the same document first."""
        moved = sum(any(1 in (d.first, d.second) for d in q.disagreements) for q in self.queries)
        return 1 - moved / len(self.queries)

    def most_different(self, n: int) -> list[QueryComparison]:
        """The queries whose rankings have least in common."""
        return sorted(self.queries, key=lambda query: (query.overlap, query.tau))[:n]


def compare(first: Run, second: Run, *, k: int = 10) -> Comparison:
    """Compare two rankings, query by query.

    Args:
        first: One ranking.
        second: Another; queries that it lacks are not compared.
        k: How far down to look.

    Raises:
        ValueError: ``k`` is not positive, or no query is in both.

    Example:
        >>> old = Run("old", {"q": ["a", "b", "c"]})
        >>> new = Run("new", {"q": ["b", "a", "d"]})
        >>> found = compare(old, new, k=2)
        >>> found.overlap, found.tau, found.same_first
        (1.0, -1.0, 0.0)
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    shared = [id_ for id_ in first.rankings if id_ in second.rankings]
    if not shared:
        raise ValueError(f"{first.name!r} and {second.name!r} have no query in common")
    queries = [_compared(id_, first.rankings[id_], second.rankings[id_], k) for id_ in shared]
    return Comparison(first.name, second.name, k, tuple(queries))


def _compared(query: str, first: Sequence[str], second: Sequence[str], k: int) -> QueryComparison:
    ranks = tuple({id_: rank for rank, id_ in enumerate(run, 1)} for run in (first, second))
    both = [id_ for id_ in first if id_ in ranks[1]]
    top = list(dict.fromkeys([*first[:k], *second[:k]]))
    found = [
        Disagreement(query, id_, ranks[0].get(id_), ranks[1].get(id_))
        for id_ in top
        if ranks[0].get(id_) != ranks[1].get(id_)
    ]
    shared = set(first[:k]) & set(second[:k])
    moved = [
        abs(ranks[0][id_] - ranks[1][id_]) for id_ in top if id_ in ranks[0] and id_ in ranks[1]
    ]
    longest = max(len(first[:k]), len(second[:k]))
    return QueryComparison(
        query,
        overlap=len(shared) / longest if longest else 1.0,
        tau=_kendall([ranks[1][id_] for id_ in both]),
        movement=fmean(moved) if moved else 0.0,
        disagreements=tuple(sorted(found, key=lambda one: one.weight, reverse=True)),
    )


def _kendall(ranks: Sequence[int]) -> float:
    if len(ranks) < 2:
        return 1.0
    stats = needed("scipy.stats", "comparing rankings")
    return float(stats.kendalltau(range(len(ranks)), ranks).statistic)


def _reciprocal(rank: int | None) -> float:
    return 0.0 if rank is None else 1 / rank
