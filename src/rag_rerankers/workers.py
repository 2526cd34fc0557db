"""The threads that keep slow work off asyncio's event loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rag_rerankers.callsite import called_from, place_of_caller
from rag_rerankers.cancellation import Cancelled, current_flag, new_flag

__all__ = ["in_worker", "worker_threads"]

Result = TypeVar("Result")

# They wait: the work is done by the engine's own threads, together for all who wait.
_THREADS = 32

_pools: dict[str, ThreadPoolExecutor] = {}
_guard = threading.Lock()


def worker_threads(purpose: str = "rank") -> ThreadPoolExecutor:
    """The process's pool for reranking, or another one: for loading, or for a served model.

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


async def in_worker(work: Callable[[], Result], purpose: str = "rank") -> Result:
    """Do work in one of the threads of a pool, for asyncio: the event loop stays free.

    When the awaiting task is cancelled, the work stops after the batch in progress.
    """
    flag = new_flag()
    context = contextvars.copy_context()
    context.run(current_flag.set, flag)
    context.run(called_from.set, place_of_caller())
    try:
        return await asyncio.get_running_loop().run_in_executor(
            worker_threads(purpose), context.run, work
        )
    except Cancelled:  # the interpreter exits, and this loop runs in a daemon thread
        raise asyncio.CancelledError from None
    finally:
        # Harmless when the work is done; tells the thread to stop when the task was cancelled.
        flag.set()


def _forget() -> None:
    # Threads do not survive a fork: a child that inherited the pool would wait for ever.
    global _guard
    _pools.clear()
    _guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
