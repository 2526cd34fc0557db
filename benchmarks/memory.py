"""The peak memory of one call over few texts and over many, each in a fresh process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.candidates import candidates
from benchmarks.models import folder_of
from benchmarks.peers.base import Model
from benchmarks.process import ask_fresh
from benchmarks.setting import Setting, say
from benchmarks.worker import peak_rss

__all__ = ["measure", "measure_here"]

FEW, MANY = 100, 10_000


def measure(setting: Setting, model: Model) -> dict[str, Any]:
    """Two processes, one call each."""
    found = {}
    for count in (FEW, 1000 if setting.quick else MANY):
        say(f"{model}: memory of {count} texts")
        request = {
            "folder": str(folder_of(model)),
            "data": None if setting.data is None else str(setting.data),
            "count": count,
        }
        found[str(count)] = ask_fresh("benchmarks.memory:measure_here", request)
    return {"counts": found}


def measure_here(request: dict[str, Any]) -> dict[str, Any]:
    """The peak of this process before the call and after it."""
    from rag_rerankers import Reranker

    data = Path(request["data"]) if request["data"] else None
    query, texts = candidates(request["count"], data=data)
    reranker = Reranker(request["folder"])
    before = peak_rss()
    reranker.rank(query, texts)
    return {"loaded": before, "peak": peak_rss()}
