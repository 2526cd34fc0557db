"""The threads that keep slow work off asyncio's event loop."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

__all__ = ["worker_threads"]

_pool: ThreadPoolExecutor | None = None
_guard = threading.Lock()


def worker_threads() -> ThreadPoolExecutor:
    """The process's pool for reranking.

    It is not asyncio's default pool: that one is shared with everybody's blocking calls, and a
    few slow forward passes would starve DNS look-ups and file reads.
    """
    global _pool
    with _guard:
        if _pool is None:
            _pool = ThreadPoolExecutor(
                max_workers=min(32, (os.cpu_count() or 1) + 4), thread_name_prefix="rag-rerankers"
            )
        return _pool


def _forget() -> None:
    # Threads do not survive a fork: a child that inherited the pool would wait for ever.
    global _pool, _guard
    _pool, _guard = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
