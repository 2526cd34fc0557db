"""Measures of rankings, all by ir-measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from rag_rerankers.evaluation.collection import Qrels
from rag_rerankers.evaluation.runs import Run
from rag_rerankers.extras import needed

__all__ = ["default_measures", "measure", "parse_measures"]

Values = Mapping[str, Mapping[str, float]]
"""Measure to query to value."""

_SHORT = {"Recall": "R", "MRR": "RR", "MAP": "AP", "Precision": "P"}


def default_measures(top_k: int, min_grade: int = 1) -> tuple[str, ...]:
    """nDCG@10, MRR@10, Recall@10, Recall@k, P@5 and AP@k, k being the candidates per query.

    Args:
        top_k: Candidates per query.
        min_grade: The lowest grade that counts as relevant where a measure knows only relevant
            and not; nDCG uses the grades themselves.
    """
    level = f"(rel={min_grade})" if min_grade != 1 else ""
    names = ["nDCG@10", f"MRR{level}@10", f"Recall{level}@10", f"Recall{level}@{top_k}"]
    return tuple(dict.fromkeys([*names, f"P{level}@5", f"AP{level}@{top_k}"]))


def parse_measures(names: Iterable[str]) -> dict[str, Any]:
    """Names to measures of ir-measures; ``MRR``, ``Recall`` and ``MAP`` are understood too.

    Raises:
        ValueError: ir-measures does not know it, or cannot compute it here.
    """
    measures = needed("ir_measures", "measures of rankings")
    parsed = {}
    for name in names:
        short = name
        for long, letter in _SHORT.items():
            if name.startswith(long):
                short = letter + name.removeprefix(long)
        try:
            parsed[name] = _tried(measures, measures.parse_measure(short))
        except Exception as error:
            raise ValueError(
                f"no measure {name!r}: {error or type(error).__name__}. Known are nDCG@10, MRR@10, "
                "Recall@100, P@5, AP@100 and others of https://ir-measur.es"
            ) from error
    return parsed


def _tried(measures: ModuleType, parsed: Any) -> Any:
    """The measure, if it can be computed: some need parameters, some programs that are absent."""
    for name in ("cutoff", "rel"):
        value = parsed.params.get(name, 1)
        if value < 1:  # for some of these, the library ends the whole process
            raise ValueError(f"{name} must be 1 or more, not {value}")
    list(measures.iter_calc([parsed], {"q": {"d": 1, "e": -1}}, {"q": {"d": 1.0}}))
    return parsed


def measure(names: Iterable[str], qrels: Qrels, run: Run) -> Values:
    """The value of each measure for each judged query; without a ranking it is 0.

    The order of the run is what counts: it is handed on as falling scores, so that ties of the
    true scores cannot be broken in one way by one measure and in another way by the next.

    Args:
        names: Such as ``nDCG@10``.
        qrels: Judgments. What they do not name counts as not relevant.
        run: Rankings.

    Example:
        >>> run = Run("mine", {"q1": ["a", "b"], "q2": ["c"]})
        >>> measure(["MRR@10"], {"q1": {"b": 1}, "q2": {"c": 1}}, run)
        {'MRR@10': {'q1': 0.5, 'q2': 1.0}}
    """
    measures = needed("ir_measures", "measures of rankings")
    parsed = parse_measures(names)
    by_rank = {
        query_id: {doc_id: float(-rank) for rank, doc_id in enumerate(run.rankings[query_id])}
        for query_id in qrels
        if run.rankings.get(query_id)
    }
    judged = {query_id: dict(grades) for query_id, grades in qrels.items()}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(qrels, 0.0) for name in parsed}
    labels: dict[Any, list[str]] = {}
    for name, parsed_measure in parsed.items():
        labels.setdefault(parsed_measure, []).append(name)
    if by_rank:
        for metric in measures.iter_calc(list(labels), judged, by_rank):
            for name in labels[metric.measure]:
                values[name][metric.query_id] = float(metric.value)
    return values
