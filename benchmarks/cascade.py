"""A cheap model before the strong one, against the strong one alone."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from benchmarks.candidates import candidates
from benchmarks.models import folder_of
from benchmarks.peers.base import Model
from benchmarks.process import WorkerError, ask_fresh
from benchmarks.setting import Setting, say

__all__ = ["measure", "measure_here"]

CANDIDATES, KEEP, ROUNDS = 50, 15, 3
CHEAP: tuple[Model, ...] = ("minilm-maxsim", "minilm-cross", "colbert")


def measure(setting: Setting, model: Model) -> dict[str, Any]:
    """The model behind each of the cheap ones, in a process of its own."""
    from rag_rerankers import Reranker

    if not hasattr(Reranker, "cascade"):
        raise WorkerError("this version has no Reranker.cascade")
    say(f"{model}: alone, and behind {', '.join(CHEAP)}")
    count, keep = (8, 3) if setting.quick else (CANDIDATES, KEEP)
    return ask_fresh(
        "benchmarks.cascade:measure_here",
        {
            "strong": str(folder_of(model)),
            "cheap": {name: str(folder_of(name)) for name in CHEAP if name != model},
            "data": None if setting.data is None else str(setting.data),
            "candidates": count,
            "keep": keep,
            "rounds": setting.rounds or (1 if setting.quick else ROUNDS),
        },
    )


def measure_here(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of each, interleaved."""
    from rag_rerankers import Reranker

    data = Path(request["data"]) if request["data"] else None
    strong = Reranker(request["strong"])
    contestants: dict[str, Any] = {"alone": strong}
    for name, folder in request["cheap"].items():
        contestants[name] = Reranker.cascade(  # type: ignore[attr-defined,unused-ignore]
            [Reranker(folder), strong], keep=request["keep"]
        )
    query, texts = candidates(request["candidates"], data=data)
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for reranker in contestants.values():
        reranker.rank(query, texts[: request["keep"] + 1])
    for _ in range(request["rounds"]):
        for name, reranker in contestants.items():
            gc.collect()
            started = time.perf_counter()
            reranker.rank(query, texts)
            found[name].append(round(time.perf_counter() - started, 5))
    return {"candidates": len(texts), "keep": request["keep"], "seconds": found}
