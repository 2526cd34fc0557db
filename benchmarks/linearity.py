"""Whether the cost grows in a straight line with the tokens."""

from __future__ import annotations

import gc
import random
import time
from pathlib import Path
from typing import Any

from benchmarks.candidates import candidates
from benchmarks.models import folder_of
from benchmarks.peers.base import Model
from benchmarks.process import ask_fresh
from benchmarks.setting import Setting, say
from benchmarks.tokens import count_tokens

__all__ = ["SIZES", "measure", "measure_here"]

SIZES = (10, 20, 50, 100, 200, 400, 700, 1000)
ROUNDS = 3


def measure(setting: Setting, model: Model) -> dict[str, Any]:
    """Measure in a process of its own."""
    sizes = [10, 20, 40] if setting.quick else list(SIZES)
    say(f"{model}: {sizes[0]} to {sizes[-1]} candidates")
    return ask_fresh(
        "benchmarks.linearity:measure_here",
        {
            "model": model,
            "folder": str(folder_of(model)),
            "data": None if setting.data is None else str(setting.data),
            "sizes": sizes,
            "rounds": setting.rounds or (1 if setting.quick else ROUNDS),
        },
    )


def measure_here(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of each size, in an order that differs from round to round."""
    from rag_rerankers import Reranker

    folder = Path(request["folder"])
    data = Path(request["data"]) if request["data"] else None
    reranker = Reranker(folder)
    sets = {size: candidates(size, data=data) for size in request["sizes"]}
    found: dict[int, list[float]] = {size: [] for size in sets}
    reranker.rank(*sets[min(sets)])
    for turn in range(request["rounds"]):
        # Shuffled: a machine that slows down or speeds up must not bend the line.
        for size in random.Random(turn).sample(sorted(sets), len(sets)):
            gc.collect()
            started = time.perf_counter()
            reranker.rank(*sets[size])
            found[size].append(round(time.perf_counter() - started, 5))
    return {
        "points": [
            {
                "candidates": size,
                "tokens": count_tokens(folder, request["model"], *sets[size]),
                "seconds": seconds,
            }
            for size, seconds in sorted(found.items())
        ]
    }
