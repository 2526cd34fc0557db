"""Tries every configuration of a peer on a small task, to find its best."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant, find
from benchmarks.environment import has_bfloat16, machine_name
from benchmarks.interleave import PAUSE, start
from benchmarks.models import folder_of
from benchmarks.peers.base import Config, Model
from benchmarks.process import Worker, WorkerError
from benchmarks.setting import Setting, say
from benchmarks.store import Part

__all__ = ["best", "chosen", "contestants", "sweep", "worth_trying"]

Try = dict[str, Any]

CANDIDATES: dict[str, int] = {"bge": 10, "colbert": 50, "minilm-cross": 50, "minilm-maxsim": 50}
TIMES = 2
# A second try of what took so much longer than the best so far would not make it the best.
HOPELESS = 1.5


def sweep(setting: Setting, key: str, model: Model) -> list[Try]:
    """Try all configurations of a peer, write them down and print them."""
    peer, folder = find(key), folder_of(model)
    count = 5 if setting.quick else CANDIDATES[model]
    say(f"sweep of {peer.name} on {model}, {count} candidates")
    tries: list[Try] = []
    for config in worth_trying(peer.configs(model), all_dtypes=setting.all_dtypes):
        found = _try(Contestant(key, config), model, folder, count, setting.data, tries)
        tries.append(found)
        told = found.get("error") or " ".join(f"{seconds:.3f}" for seconds in found["seconds"])
        say(f"    {config.label} [{config.dtype}]: {told}")
    part = {"name": peer.name, "candidates": count, "tries": tries, "venv": peer.venv}
    setting.put(f"sweep/{model}/{key}", part, (peer.venv,))
    return tries


def worth_trying(configs: Iterable[Config], *, all_dtypes: bool) -> list[Config]:
    """Without those whose dtype the CPU can only emulate."""
    emulated = {"float16"} if has_bfloat16() else {"float16", "bfloat16"}
    return [config for config in configs if all_dtypes or config.dtype not in emulated]


def best(tries: Iterable[Try]) -> Try | None:
    """The try with the lowest median, of those that ran; None if none did."""
    ran = [found for found in tries if not found.get("error")]
    return min(ran, key=lambda found: statistics.median(found["seconds"]), default=None)


def chosen(configs: Sequence[Config], tries: Sequence[Try]) -> Mapping[str, tuple[str, ...]]:
    """Labels of the configurations that are to be measured, with the reasons.

    The defaults, the best of all, and the best at each dtype, by each of its methods: a
    configuration may be several.
    """
    groups: dict[str, set[str]] = {"best": {config.label for config in configs}}
    for config in configs:
        groups.setdefault(f"best at {config.dtype}", set()).add(config.label)
        if config.method:
            groups.setdefault(f"best at {config.dtype}, {config.method}", set()).add(config.label)
    reasons: dict[str, list[str]] = {configs[0].label: ["defaults"]}
    for role, labels in groups.items():
        found = best(found for found in tries if found["config"] in labels)
        if found is not None:
            reasons.setdefault(found["config"], []).append(role)
    return {label: tuple(roles) for label, roles in reasons.items()}


def contestants(setting: Setting, key: str, model: Model) -> list[Contestant]:
    """What of a peer is to be measured, by its stored sweep or a new one."""
    listed = find(key).configs(model)
    configs = {config.label: config for config in listed}
    if len(configs) < len(listed):
        raise ValueError(f"{key}: two configurations with one label")
    stored = setting.store.get(f"sweep/{model}/{key}")
    if stored is not None and _holds(stored, setting, set(configs)):
        tries: list[Try] = stored["tries"]
    else:
        tries = sweep(setting, key, model)
    reasons = chosen(list(configs.values()), tries)
    return [Contestant(key, configs[label], roles) for label, roles in reasons.items()]


def _holds(stored: Part, setting: Setting, labels: set[str]) -> bool:
    """Whether a stored sweep tells what is best here and now."""
    return (
        stored["machine"] == machine_name()
        and (setting.quick or not stored["quick"])
        and {found["config"] for found in stored["tries"]} <= labels
        and best(stored["tries"]) is not None
    )


def _try(
    contestant: Contestant,
    model: Model,
    folder: Path,
    count: int,
    data: Path | None,
    before: Sequence[Try],
) -> Try:
    record: Try = {"config": contestant.config.label, "dtype": contestant.config.dtype}
    member = start(contestant, model, folder, data)
    if member.worker is None:
        return {**record, "error": member.error}
    with member.worker as worker:
        if member.error:
            return {**record, "error": member.error}
        try:
            equal = (one for one in before if one["dtype"] == contestant.config.dtype)
            seconds = _times(worker, count, best(equal))
        except WorkerError as error:
            return {**record, "error": str(error)}
    return {**record, "seconds": [round(one, 5) for one in seconds]}


def _times(worker: Worker, count: int, leader: Try | None) -> list[float]:
    worker.ask({"do": "score", "count": min(count, 5)})
    times: list[float] = []
    for _ in range(TIMES):
        time.sleep(PAUSE)
        times.append(worker.ask({"do": "score", "count": count})["seconds"])
        if leader and times[0] > HOPELESS * statistics.median(leader["seconds"]):
            break
    return times
