"""What a run was asked for, and what every part of it writes down."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import machine, machine_name, versions
from benchmarks.process import WorkerError
from benchmarks.store import Store
from benchmarks.venvs import python_of

__all__ = ["Setting", "say"]


@dataclass(frozen=True, slots=True)
class Setting:
    """How to measure.

    Attributes:
        store: Where the results go.
        data: The folder with the chunks; None for texts from Python's documentation.
        peers: Keys of the peers that take part; None for all.
        rounds: How often; None leaves it to the part.
        quick: Sizes for trying it out, not for publishing.
        all_dtypes: Also what the CPU has no instructions for.
        exhaustive: Every peer at every size.
    """

    store: Store
    data: Path | None = None
    peers: tuple[str, ...] | None = None
    rounds: int | None = None
    quick: bool = False
    all_dtypes: bool = False
    exhaustive: bool = False

    def put(self, key: str, part: Mapping[str, Any], venvs: tuple[str, ...] = ("main",)) -> None:
        """Write a part down, with the machine and the versions."""
        name = machine_name()
        self.store.put(f"machine/{name}", machine())
        for venv in sorted({"main", *venvs}):
            try:
                self.store.put(f"versions/{name}/{venv}", versions(python_of(venv)))
            except WorkerError as error:  # noqa: PERF203
                say(f"{venv}: no versions: {error}")
        texts = "python-docs" if self.data is None else self.data.name
        self.store.put(key, {**part, "machine": name, "quick": self.quick, "texts_of": texts})


def say(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)
