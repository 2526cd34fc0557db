"""How far from float32 the rankings are that faster products give: ours, and the peers'.

Every contestant that is not in float32 ranks the same candidates; Kendall's tau against the ranking
of this project in float32, which the tests hold to the reference implementations. What that does to
nDCG@10 on judged data is in ``docs/results.md`` (``python -m benchmarks.results measure``).
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any

from scipy.stats import kendalltau

from benchmarks.contestants import OURS, Contestant, find, keys_for
from benchmarks.interleave import start
from benchmarks.models import folder_of
from benchmarks.peers.base import Model
from benchmarks.process import WorkerError
from benchmarks.setting import Setting, say
from benchmarks.sweep import contestants

__all__ = ["measure", "overlap", "tau"]

COUNT = 50
SETS = 6
FULL_SIZE: Model = "bge"


def measure(setting: Setting, model: Model) -> dict[str, Any]:
    """Every contestant's agreement with float32."""
    sets = 2 if setting.quick else SETS
    (reference,) = [c for c in find(OURS).configs(model) if c.dtype == "float32"][:1]
    expected = _scores(setting, Contestant(OURS, reference), model, sets)
    rows = []
    for key in [OURS, *keys_for(model, setting.peers)]:
        for contestant in _measured(setting, key, model):
            if contestant.config.dtype == "float32":
                continue
            row: dict[str, Any] = {
                "peer": key,
                "name": contestant.peer.name,
                "config": contestant.config.label,
                "dtype": contestant.config.dtype,
            }
            try:
                got = _scores(setting, contestant, model, sets)
            except WorkerError as error:
                rows.append({**row, "error": str(error)})
                continue
            taus = [tau(*pair) for pair in zip(expected, got, strict=True)]
            shared = [overlap(*pair) for pair in zip(expected, got, strict=True)]
            rows.append(
                {
                    **row,
                    "tau": statistics.mean(taus),
                    "least_tau": min(taus),
                    "top_10": statistics.mean(shared),
                }
            )
            say(f"fidelity, {model}, {contestant.name}: tau {statistics.mean(taus):.4f}")
    return {"candidates": COUNT, "sets": sets, "rows": rows}


def _measured(setting: Setting, key: str, model: Model) -> list[Contestant]:
    """What is measured of a peer for this model, and what was for the full-size one.

    That one's weights are random, so that its own rankings say nothing.
    """
    chosen = contestants(setting, key, model)
    stored = setting.store.get(f"sweep/{FULL_SIZE}/{key}")
    if stored is not None and model != FULL_SIZE:
        here = {config.label for config in find(key).configs(model)}
        chosen += [
            one
            for one in contestants(setting, key, FULL_SIZE)
            if one.config.label in here - {known.config.label for known in chosen}
        ]
    return chosen


def tau(expected: list[float], got: list[float]) -> float:
    """Kendall's tau-b of two lists of scores for the same texts.

    Example:
        >>> tau([3.0, 2.0, 1.0], [0.9, 0.5, 0.7])  # one pair of three is the other way round
        0.3333333333333333
    """
    return round(float(kendalltau(expected, got).statistic), 16)


def overlap(expected: list[float], got: list[float], depth: int = 10) -> float:
    """Share of the first ``depth`` that both lists of scores have in common.

    Example:
        >>> overlap([4.0, 3.0, 2.0, 1.0], [4.0, 1.0, 3.0, 2.0], depth=2)
        0.5
    """
    tops = [
        set(sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[:depth])
        for scores in (expected, got)
    ]
    return len(tops[0] & tops[1]) / min(depth, len(expected))


def _scores(setting: Setting, contestant: Contestant, model: Model, sets: int) -> list[list[float]]:
    member = start(contestant, model, folder_of(model), setting.data)
    if member.worker is None:
        raise WorkerError(member.error or "not started")
    with ExitStack() as stack:
        worker = stack.enter_context(member.worker)
        if member.error:
            raise WorkerError(member.error)
        return [
            worker.ask({"do": "score", "count": COUNT, "offset": offset, "scores": True})["scores"]
            for offset in range(sets)
        ]
