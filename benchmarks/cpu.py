"""Everybody against this project: a model, a number of candidates, heat after heat."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.candidates import candidates
from benchmarks.contestants import FLOOR, OURS, Contestant, keys_for
from benchmarks.interleave import run_heat
from benchmarks.models import folder_of, linear_flops, shape_of
from benchmarks.peers.base import Model
from benchmarks.setting import Setting, say
from benchmarks.store import Part, Store
from benchmarks.sweep import contestants
from benchmarks.tokens import count_tokens

__all__ = ["SIZES", "fastest", "heats", "measure", "rounds_for"]

SIZES = (10, 50, 200, 1000)
# Above so many operations a pass takes minutes: this project and the fastest two of the others.
LONG = 10e12
KEPT = 2
# Others in a heat, beside this project's one or two: the full-size model takes 2 to 5 GB each.
SEATS = {"bge": 2}
FEW, MORE = 3, 7


def measure(setting: Setting, model: Model, count: int) -> None:
    """Measure one model at one number of candidates."""
    folder = folder_of(model)
    tokens = count_tokens(folder, model, *candidates(count, data=setting.data))
    work = tokens * linear_flops(shape_of(folder))
    ours = contestants(setting, OURS, model)
    floors = [one for one in contestants(setting, FLOOR, model) if one.roles != ("defaults",)]
    others = [
        one for key in keys_for(model, setting.peers) for one in contestants(setting, key, model)
    ]
    left_out: list[str] = []
    if work > LONG and not setting.exhaustive:
        keep = fastest(setting.store, model, sorted({one.key for one in others}))
        left_out = sorted({one.peer.name for one in others if one.key not in keep})
        others = [one for one in others if one.key in keep and "best" in one.roles]
        say(f"{model}, {count} candidates: only the fastest run ({', '.join(keep)})")
    rounds = setting.rounds or (1 if setting.quick else rounds_for(work))
    part: dict[str, Any] = {
        "candidates": count,
        "tokens": tokens,
        "flops": work,
        "rounds": rounds,
        "left_out": left_out,
        "heats": [],
    }
    plan = list(heats(ours, [*floors, *others], SEATS.get(model, 5)))
    for number, heat in enumerate(plan, 1):
        say(f"{model}, {count} candidates, {tokens} tokens: heat {number} of {len(plan)}")
        part["heats"].append(run_heat(heat, model, folder, count, rounds=rounds, data=setting.data))
    venvs = tuple(sorted({one.peer.venv for one in [*ours, *others]}))
    setting.put(f"cpu/{model}/{count}", part, venvs)


def rounds_for(work: float) -> int:
    """How often everybody runs: less often what takes long."""
    if work > LONG:
        return 1
    return FEW if work > LONG / 20 else MORE


def heats(
    ours: Sequence[Contestant], others: Sequence[Contestant], seats: int
) -> Iterator[list[Contestant]]:
    """Who runs side by side.

    In each heat: this project at its best, this project at the heat's dtype, and some others of
    that dtype. So each of them has both to be compared with, round by round.
    """
    at_best = [one for one in ours if "best" in one.roles]
    for dtype in dict.fromkeys(one.config.dtype for one in [*ours, *others]):
        equal = [
            one for one in ours if one.config.dtype == dtype and f"best at {dtype}" in one.roles
        ]
        head = list(dict.fromkeys(one.config.label for one in [*at_best, *equal]))
        own = [next(one for one in ours if one.config.label == label) for label in head]
        rest = [one for one in others if one.config.dtype == dtype]
        for first in range(0, max(1, len(rest)), seats):
            heat = [*own, *rest[first : first + seats]]
            if rest or equal:
                yield heat


def fastest(store: Store, model: Model, keys: Sequence[str]) -> list[str]:
    """The peers that were fastest at the largest size at which all ran, else in the sweep."""
    for size in sorted(SIZES, reverse=True):
        part = store.get(f"cpu/{model}/{size}")
        if part is not None and not part["left_out"]:
            times = _medians(part)
            known = [key for key in keys if key in times]
            if known:
                return sorted(known, key=times.__getitem__)[:KEPT]
    swept = {}
    for key in keys:
        tries = (store.get(f"sweep/{model}/{key}") or {"tries": []})["tries"]
        ran = [statistics.median(one["seconds"]) for one in tries if not one.get("error")]
        if ran:
            swept[key] = min(ran)
    return sorted(swept, key=swept.__getitem__)[:KEPT]


def _medians(part: Part) -> dict[str, float]:
    """Each peer's best median."""
    times: dict[str, float] = {}
    for member in (member for heat in part["heats"] for member in heat):
        if member.get("seconds"):
            median = statistics.median(member["seconds"])
            times[member["peer"]] = min(median, times.get(member["peer"], median))
    return times
