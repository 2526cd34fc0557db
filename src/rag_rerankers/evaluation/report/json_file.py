"""The figures as JSON, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag_rerankers.evaluation.comparison import Comparison
from rag_rerankers.evaluation.results import Evaluation, Gain, System

__all__ = ["as_json", "comparison_as_json", "write_json"]

_CASES = 20
_VERSION = 1


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the rankings, as plain objects.

    Args:
        evaluation: What was found out.

    Returns:
        ``format`` (a version number), ``data``, ``environment``, ``measures``, ``systems``
        (means, values by query, cost), ``differences``, ``agreement``, ``groups``, and for each
        model the ``cases`` that gained and lost most, with their questions.
    """
    collection = evaluation.collection
    return {
        "format": _VERSION,
        "data": {
            "name": collection.name,
            "documents": len(collection.documents),
            "queries": len(collection.queries),
            "judgments": sum(map(len, collection.qrels.values())),
            "problems": [asdict(problem) for problem in collection.problems],
        },
        "top_k": evaluation.top_k,
        "environment": dict(evaluation.environment),
        "measures": list(evaluation.measures),
        "systems": [_system(evaluation, system) for system in evaluation.systems],
        "differences": [{**asdict(d), "delta": d.delta} for d in evaluation.differences],
        "agreement": [_pair(pair) for pair in evaluation.agreement],
        "groups": {
            field: {
                label: {
                    "queries": len(queries),
                    "means": {
                        system.name: {m: system.mean(m, queries) for m in evaluation.measures}
                        for system in evaluation.systems
                    },
                }
                for label, queries in members.items()
            }
            for field, members in evaluation.groups.items()
        },
        "cases": {model.name: _cases(evaluation, model) for model in evaluation.models},
    }


def write_json(path: Path, evaluation: Evaluation) -> None:
    """Write :func:`as_json` to a file."""
    # Escaped, so that half a surrogate pair in a question is still JSON in UTF-8.
    path.write_text(json.dumps(as_json(evaluation), ensure_ascii=True, indent=1) + "\n", "utf-8")


def comparison_as_json(comparison: Comparison) -> dict[str, Any]:
    """Two rankings side by side, with every disagreement, as plain objects."""
    return {**_pair(comparison), "queries": [asdict(query) for query in comparison.queries]}


def _pair(pair: Comparison) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "k": pair.k,
        "overlap": pair.overlap,
        "tau": pair.tau,
        "movement": pair.movement,
        "same_first": pair.same_first,
    }


def _system(evaluation: Evaluation, system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "means": {name: system.mean(name) for name in evaluation.measures},
        "values": {name: dict(values) for name, values in system.values.items()},
        "cost": None
        if system.cost is None
        else {**asdict(system.cost), "tokens_per_second": system.cost.tokens_per_second},
    }


def _cases(evaluation: Evaluation, model: System) -> dict[str, list[dict[str, Any]]]:
    gains = evaluation.gains(model)
    return {
        "gained": [_case(evaluation, gain) for gain in gains[:_CASES] if gain.change > 0],
        "lost": [_case(evaluation, gain) for gain in gains[: -_CASES - 1 : -1] if gain.change < 0],
    }


def _case(evaluation: Evaluation, gain: Gain) -> dict[str, Any]:
    return {**asdict(gain), "text": evaluation.collection.queries[gain.query]}
