"""Heats: several contestants loaded side by side, A B C A B C ..., one running at a time.

Whatever slows the machine for a while slows a whole round, so ratios are taken within rounds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.figures import correlation
from benchmarks.peers.base import Model
from benchmarks.process import Worker, WorkerError
from benchmarks.setting import say
from benchmarks.venvs import python_of

__all__ = ["Member", "as_json", "run_heat", "start"]

# The threads of the one before have stopped spinning by then.
PAUSE = 0.3
WARM_UP = 10


@dataclass
class Member:
    """A contestant in a heat, and what became of it."""

    contestant: Contestant
    worker: Worker | None = None
    load_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    rss_peak: int = 0
    scores: list[float] = field(default_factory=list)
    error: str | None = None


def run_heat(
    contestants: Sequence[Contestant],
    model: Model,
    folder: Path,
    count: int,
    *,
    rounds: int,
    data: Path | None = None,
    warm_up: int = WARM_UP,
) -> list[dict[str, Any]]:
    """Load everybody, warm everybody up, then go round.

    Args:
        contestants: The first, or the last of the same key, is whom the scores are compared with.
        model: What they run.
        folder: The model's folder.
        count: Candidates.
        rounds: How often each runs.
        data: Where the texts come from.
        warm_up: Candidates of the first, untimed call, if fewer than ``count``.

    Returns:
        A record of each; one that failed has an ``error`` and no times.
    """
    members = [Member(contestant) for contestant in contestants]
    with ExitStack() as stack:
        for member in members:
            _load(member, model, folder, data, stack)
        for member in members:
            answer = _score(member, min(warm_up, count), scores=True)
            member.scores = answer.get("scores", [])
        for turn in range(rounds):
            for member in members:
                answer = _score(member, count)
                if answer:
                    member.seconds.append(answer["seconds"])
                    member.rss_peak = answer["rss_peak"]
            times = ", ".join(f"{m.seconds[-1]:.3f}" if not m.error else "-" for m in members)
            say(f"    round {turn + 1}/{rounds}: {times} s")
    # This project comes first, at its best and then at the heat's dtype: the latter is compared.
    same = [m for m in members if m.contestant.key == contestants[0].key and m.scores]
    reference = same[-1].scores if same else []
    return [as_json(member, reference) for member in members]


def start(contestant: Contestant, model: Model, folder: Path, data: Path | None) -> Member:
    """A member with its model loaded, or with the error that kept it from that."""
    member = Member(contestant)
    options = contestant.config.options
    try:
        member.worker = Worker(python_of(contestant.peer.venv), options.get("env"))
        answer = member.worker.ask(
            {
                "do": "load",
                "peer": contestant.key,
                "model": model,
                "folder": str(folder),
                "config": {**asdict(contestant.config), "options": dict(options)},
                "data": None if data is None else str(data),
            }
        )
    except WorkerError as error:
        member.error = str(error)
    else:
        member.load_seconds = answer["seconds"]
    return member


def as_json(member: Member, reference: Sequence[float] = ()) -> dict[str, Any]:
    """What is kept of a member."""
    contestant = member.contestant
    record: dict[str, Any] = {
        "peer": contestant.key,
        "name": contestant.peer.name,
        "config": contestant.config.label,
        "dtype": contestant.config.dtype,
        "roles": list(contestant.roles),
    }
    if member.error:
        return {**record, "error": member.error}
    agreement = None
    if len(reference) == len(member.scores) > 1:
        agreement = correlation(member.scores, reference)
    return {
        **record,
        "load_seconds": round(member.load_seconds, 2),
        "seconds": [round(seconds, 5) for seconds in member.seconds],
        "rss_peak": member.rss_peak,
        "agreement": None if agreement is None else round(agreement, 5),
    }


def _load(member: Member, model: Model, folder: Path, data: Path | None, stack: ExitStack) -> None:
    started = start(member.contestant, model, folder, data)
    member.worker, member.error = started.worker, started.error
    member.load_seconds = started.load_seconds
    if member.worker is not None:
        stack.callback(member.worker.close)
    say(f"    {member.contestant.name}: {member.error or f'loaded in {member.load_seconds:.1f} s'}")


def _score(member: Member, count: int, *, scores: bool = False) -> dict[str, Any]:
    """One call; empty when the member has failed before or fails now."""
    if member.error or member.worker is None:
        return {}
    time.sleep(PAUSE)
    try:
        return member.worker.ask({"do": "score", "count": count, "scores": scores})
    except WorkerError as error:
        member.error = str(error)
        say(f"    {member.contestant.name}: {error}")
        return {}
