"""Lets work that runs in a thread learn that nobody waits for it any more.

``asyncio`` cannot stop a thread. :meth:`Reranker.arank` therefore sets a flag when its task is
cancelled, and the engine looks at the flag between two batches. The flag travels in a context
variable, so that the ``Scorer`` protocol needs no parameter for it.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  (registers its own exit hook first)
import contextvars
import threading

__all__ = ["Cancelled", "check_cancelled", "current_flag"]

current_flag: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar(
    "rag_rerankers_cancelled", default=None
)


class Cancelled(BaseException):
    """The task that asked for this work is gone. Never reaches user code."""


def check_cancelled() -> None:
    """Stop here if the caller has gone.

    A custom :class:`~rag_rerankers.Scorer` that works for long may call this now and then.

    Raises:
        Cancelled: The awaiting task was cancelled, or the interpreter is exiting.
    """
    flag = current_flag.get()
    if _exiting.is_set() or (flag is not None and flag.is_set()):
        raise Cancelled


_exiting = threading.Event()
# A thread pool is joined at exit, after all that is queued has been done. This runs before (last
# in, first out), so that a program which is told to stop does not go on scoring.
if hasattr(threading, "_register_atexit"):
    threading._register_atexit(_exiting.set)
