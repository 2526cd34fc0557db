"""Measures the speed of this project beside that of everybody else.

    python -m benchmarks all                 everything; hours on two cores
    python -m benchmarks cpu --models minilm-cross --peers sentence_transformers_cross
    python -m benchmarks table               benchmarks/README.md and docs/img/ from the results

Results go to benchmarks/speed.json, part by part; progress to stderr.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import cpu
from benchmarks.contestants import FLOOR, OURS, find, keys_for
from benchmarks.models import NAMES
from benchmarks.peers.base import Model
from benchmarks.places import DATA, RESULTS
from benchmarks.process import WorkerError
from benchmarks.setting import Setting, say
from benchmarks.store import Store

SMALL: tuple[Model, ...] = ("minilm-cross", "minilm-maxsim")
# The models of a part, where not all of them are meant.
MODELS: dict[str, tuple[Model, ...]] = {
    "concurrency": SMALL,
    "fidelity": SMALL,
    "linearity": ("minilm-cross", "minilm-maxsim", "colbert"),
    "memory": SMALL,
    "cascade": ("bge",),
    "stored": ("colbert", "minilm-maxsim"),
    "gpu": ("bge",),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts that were asked for."""
    asked = _parser().parse_args(arguments)
    store = Store(asked.results.resolve())
    setting = Setting(
        store=store,
        data=asked.data,
        peers=None if asked.peers is None else tuple(asked.peers),
        rounds=asked.rounds,
        quick=asked.quick,
        all_dtypes=asked.all_dtypes,
        exhaustive=asked.exhaustive,
    )
    for key in asked.peers or ():
        find(key)
    if asked.quick:
        say("quick: smaller sizes and fewer rounds, good for trying it out only")
    if asked.data is None:
        say("no data: the texts are cut from Python's documentation")
    names = [part for part in PARTS if part != "table"] if asked.part == "all" else [asked.part]
    for name in names:
        started = time.monotonic()
        models = asked.models or MODELS.get(name, NAMES)
        PARTS[name](setting, models, asked.candidates)
        say(f"{name}: {time.monotonic() - started:.0f} s")
    if asked.part == "all":
        _table(setting, NAMES, [])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=["all", *PARTS])
    parser.add_argument("--models", nargs="+", choices=NAMES, help="default: those of the part")
    parser.add_argument("--peers", nargs="*", help="keys of benchmarks.peers.PEERS; default: all")
    parser.add_argument("--candidates", nargs="+", type=int, default=list(cpu.SIZES))
    parser.add_argument("--rounds", type=int, help="default: by how long a pass takes")
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA if DATA.is_dir() else None,
        help="folder with corpus.jsonl.gz and queries.jsonl; default: ../shared/data/chroma-chunks",
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, to try it out")
    parser.add_argument(
        "--all-dtypes", action="store_true", help="bfloat16 even where the CPU must emulate it"
    )
    parser.add_argument(
        "--exhaustive", action="store_true", help="every peer, however long a pass takes"
    )
    return parser


def _sweep(setting: Setting, models: Sequence[Model], sizes: Sequence[int]) -> None:
    from benchmarks.sweep import sweep

    for model in models:
        for key in [OURS, FLOOR, *keys_for(model, setting.peers)]:
            sweep(setting, key, model)


def _floor(setting: Setting, models: Sequence[Model], sizes: Sequence[int]) -> None:
    from benchmarks.sweep import sweep

    for model in models:
        sweep(setting, FLOOR, model)


def _cpu(setting: Setting, models: Sequence[Model], sizes: Sequence[int]) -> None:
    # By size first: what was fastest at 50 decides who runs at 200.
    for size in sorted({min(size, 20) for size in sizes} if setting.quick else set(sizes)):
        for model in models:
            cpu.measure(setting, model, size)


def _alone(module: str) -> Callable[[Setting, Sequence[Model], Sequence[int]], None]:
    """A part that measures this project by itself, one model after another."""

    def run(setting: Setting, models: Sequence[Model], sizes: Sequence[int]) -> None:
        from importlib import import_module

        measure = import_module(f"benchmarks.{module}").measure
        for model in models:
            part: dict[str, Any]
            try:
                part = measure(setting, model)
            except WorkerError as error:
                say(f"{module}, {model}: not measured: {error}")
                part = {"error": str(error)}
            setting.put(f"{module}/{model}", part)

    return run


def _table(setting: Setting, models: Sequence[Model], sizes: Sequence[int]) -> None:
    from benchmarks.plots import draw
    from benchmarks.table import write

    write(setting.store)
    draw(setting.store)


PARTS: dict[str, Callable[[Setting, Sequence[Model], Sequence[int]], None]] = {
    "sweep": _sweep,
    "cpu": _cpu,
    "floor": _floor,
    "concurrency": _alone("concurrency"),
    "fidelity": _alone("fidelity"),
    "linearity": _alone("linearity"),
    "memory": _alone("memory"),
    "cascade": _alone("cascade"),
    "stored": _alone("stored"),
    "gpu": _alone("gpu"),
    "table": _table,
}

if __name__ == "__main__":
    main()
