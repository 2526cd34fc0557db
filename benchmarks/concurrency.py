"""Many callers of one ``Reranker`` at a time, against one caller with the same work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

from benchmarks.candidates import candidates, short_candidates
from benchmarks.models import folder_of
from benchmarks.peers.base import Model
from benchmarks.process import ask_fresh
from benchmarks.setting import Setting, say

if TYPE_CHECKING:
    from rag_rerankers import Reranker

__all__ = ["measure", "measure_here"]

CALLERS = 32
EACH = 10
STEPS = (1, 2, 4, 8, 16, 32)
# Calls that each caller makes, one after another, in a round.
CALLS = 4
ROUNDS = 5

Call = tuple[str, Sequence[str]]


def measure(setting: Setting, model: Model) -> dict[str, Any]:
    """Measure in a process of its own."""
    say(f"{model}: {CALLERS} callers")
    return ask_fresh(
        "benchmarks.concurrency:measure_here",
        {
            "model": model,
            "folder": str(folder_of(model)),
            "data": None if setting.data is None else str(setting.data),
            "rounds": setting.rounds or (1 if setting.quick else ROUNDS),
            "calls": 1 if setting.quick else CALLS,
        },
    )


def measure_here(request: dict[str, Any]) -> dict[str, Any]:
    """All of it, interleaved round by round, with the model loaded once."""
    from rag_rerankers import Reranker

    data = Path(request["data"]) if request["data"] else None
    reranker = Reranker(request["folder"])
    query, whole = candidates(CALLERS * EACH, data=data)
    parts = [whole[start : start + EACH] for start in range(0, len(whole), EACH)]
    short = [[text] for text in short_candidates(CALLERS, data=data)]
    calls = request["calls"]
    asked = {n: [[(query, part)] * calls for part in parts[:n]] for n in STEPS}
    single = [[(query, text)] for text in short]
    one_after_another = [[(query, text) for text in short]]

    runs: dict[str, Callable[[], tuple[float, list[float]]]] = {
        f"threads/{n}": lambda n=n: in_threads(reranker, asked[n])  # type: ignore[misc]
        for n in STEPS
    }
    runs["one caller"] = lambda: in_threads(reranker, [[(query, whole)] * calls])
    runs["asyncio"] = lambda: in_tasks(reranker, asked[CALLERS])
    runs["short, threads"] = lambda: in_threads(reranker, single * 1)
    runs["short, asyncio"] = lambda: in_tasks(reranker, single)
    runs["short, one after another"] = lambda: in_threads(reranker, one_after_another)

    found: dict[str, dict[str, list[float]]] = {
        name: {"seconds": [], "latencies": []} for name in runs
    }
    reranker.rank(query, whole)
    for _ in range(request["rounds"]):
        for name, run in runs.items():
            seconds, latencies = run()
            found[name]["seconds"].append(round(seconds, 5))
            found[name]["latencies"] += [round(latency, 5) for latency in latencies]
    texts = {f"threads/{n}": n * EACH * calls for n in STEPS}
    texts |= dict.fromkeys(("one caller", "asyncio"), CALLERS * EACH * calls)
    texts |= {name: CALLERS for name in runs if name.startswith("short")}
    return {
        "callers": CALLERS,
        "each": EACH,
        "runs": {name: {**times, "texts": texts[name]} for name, times in found.items()},
    }


def in_threads(reranker: Reranker, callers: Sequence[Sequence[Call]]) -> tuple[float, list[float]]:
    """Seconds for all callers, each in its thread, and the latency of every call."""
    barrier = Barrier(len(callers) + 1)

    def caller(calls: Sequence[Call]) -> list[float]:
        barrier.wait()
        latencies = []
        for query, texts in calls:
            started = time.perf_counter()
            reranker.rank(query, texts)
            latencies.append(time.perf_counter() - started)
        return latencies

    with ThreadPoolExecutor(len(callers)) as pool:
        futures = [pool.submit(caller, calls) for calls in callers]
        barrier.wait()
        started = time.perf_counter()
        latencies = [latency for future in futures for latency in future.result()]
        return time.perf_counter() - started, latencies


def in_tasks(reranker: Reranker, callers: Sequence[Sequence[Call]]) -> tuple[float, list[float]]:
    """The same by ``arank`` in one event loop."""

    async def caller(calls: Sequence[Call]) -> list[float]:
        latencies = []
        for query, texts in calls:
            started = time.perf_counter()
            await reranker.arank(query, texts)
            latencies.append(time.perf_counter() - started)
        return latencies

    async def everybody() -> tuple[float, list[float]]:
        started = time.perf_counter()
        found = await asyncio.gather(*(caller(calls) for calls in callers))
        return time.perf_counter() - started, [one for latencies in found for one in latencies]

    return asyncio.run(everybody())
