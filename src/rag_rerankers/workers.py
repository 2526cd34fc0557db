"""The threads that keep slow work off asyncio's event loop."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

__all__ = ["worker_threads"]

# They wait: the work is done by the engine's own threads, together for all who wait.
_THREADS = 32

_pools: dict[str, ThreadPoolExecutor] = {}
_guard = threading.Lock()


def worker_threads(purpose: str = "rank") -> ThreadPoolExecutor:
    """The process's pool for reranking, or another one for loading.

    It is not asyncio's default pool: that one is shared with everybody's blocking calls, and a
    few slow forward passes would starve DNS look-ups and file reads. Loading has its own threads,
    so that tasks which wait for a model do not hold up those whose model is ready.
    """
    with _guard:
        if purpose not in _pools:
            _pools[purpose] = ThreadPoolExecutor(
                max_workers=_THREADS,
                thread_name_prefix=f"rag-rerankers-{purpose}",
            )
        return _pools[purpose]


def _forget() -> None:
    # Threads do not survive a fork: a child that inherited the pool would wait for ever.
    global _guard
    _pools.clear()
    _guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
