"""Lets work that runs in a thread learn that nobody waits for it any more.

``asyncio`` cannot stop a thread. :meth:`Reranker.arank` therefore sets a flag when its task is
cancelled, and the engine looks at the flag between two batches. The flag travels in a context
variable, so that the ``Scorer`` protocol needs no parameter for it.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  (registers its own exit hook first)
import contextvars
import threading
import weakref

__all__ = ["Cancelled", "check_cancelled", "current_flag", "new_flag"]

current_flag: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar(
    "rag_rerankers_cancelled", default=None
)


class Cancelled(BaseException):
    """The task that asked for this work is gone. Never reaches user code."""


def new_flag() -> threading.Event:
    """A flag for work that the calling thread will wait for.

    Nobody waits any more once the interpreter exits and the caller is a daemon thread: then the
    flag is set too, or a program that is told to stop would first score all that is queued. Other
    threads are joined at exit, so their work goes on.
    """
    flag = threading.Event()
    if threading.current_thread().daemon:
        _left_at_exit.add(flag)
    return flag


def check_cancelled() -> None:
    """Stop here if the caller has gone.

    A custom :class:`~rag_rerankers.Scorer` that works for long may call this now and then.

    Raises:
        Cancelled: The awaiting task was cancelled, or its daemon thread ends with the interpreter.
    """
    flag = current_flag.get()
    if flag is not None and flag.is_set():
        raise Cancelled


_left_at_exit: weakref.WeakSet[threading.Event] = weakref.WeakSet()


def _leave() -> None:
    for flag in list(_left_at_exit):
        flag.set()


# Thread pools are joined by a hook of the same kind; hooks run last in, first out.
if hasattr(threading, "_register_atexit"):
    threading._register_atexit(_leave)
