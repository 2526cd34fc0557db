"""What an evaluation found out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.comparison import Comparison
from rag_rerankers.evaluation.cost import Cost
from rag_rerankers.evaluation.runs import Run
from rag_rerankers.evaluation.significance import Difference

__all__ = ["Evaluation", "Gain", "System"]


@dataclass(frozen=True)
class System:
    """One way of ranking: the first stage, or the first stage reranked by a model.

    Attributes:
        name: What it is called.
        run: Its rankings.
        values: Measure to query to value.
        cost: What it cost; None for a first stage.
    """

    name: str
    run: Run
    values: Mapping[str, Mapping[str, float]]
    cost: Cost | None = None

    def mean(self, measure: str, queries: Sequence[str] | None = None) -> float:
        """Mean of a measure over all queries, or over these.

        Args:
            measure: One of the evaluation's measures.
            queries: Some of its queries, at least one.
        """
        values = self.values[measure]
        return fmean(values[id_] for id_ in (values if queries is None else queries))


@dataclass(frozen=True)
class Gain:
    """What a model changed for one query.

    Attributes:
        query: The query's id.
        before: The measure in the first stage.
        after: The measure after reranking.
    """

    query: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True)
class Evaluation:
    """Quality before and after, query by query, with its cost.

    Attributes:
        collection: What was evaluated on.
        top_k: Candidates per query.
        measures: Names of the measures, the main one first.
        first: The first stage.
        models: The first stage reranked by each model.
        differences: Each model against the first stage and against each other, per measure.
        agreement: How much the rankings of two systems have in common, for every pair.
        groups: Field (``language``, ...) to label to queries, where there are several labels.
        environment: Versions and machine.
    """

    collection: Collection
    top_k: int
    measures: tuple[str, ...]
    first: System
    models: tuple[System, ...]
    differences: tuple[Difference, ...] = ()
    agreement: tuple[Comparison, ...] = ()
    groups: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def systems(self) -> tuple[System, ...]:
        """The first stage and the models."""
        return (self.first, *self.models)

    def difference(self, measure: str, system: str, baseline: str | None = None) -> Difference:
        """One model against the first stage, or against another model.

        Raises:
            KeyError: That pair was not compared.
        """
        wanted = (measure, baseline or self.first.name, system)
        for found in self.differences:
            if (found.measure, found.baseline, found.system) == wanted:
                return found
        raise KeyError(f"no comparison of {wanted[2]!r} with {wanted[1]!r} in {measure!r}")

    def gains(self, model: System, measure: str | None = None) -> list[Gain]:
        """What a model changed, query by query, from the greatest gain to the greatest loss."""
        name = measure or self.measures[0]
        before, after = self.first.values[name], model.values[name]
        gains = [Gain(id_, before[id_], after[id_]) for id_ in before]
        return sorted(gains, key=lambda gain: gain.change, reverse=True)
