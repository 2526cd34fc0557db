"""One open index per process and folder, however many retrievers ask for it."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from rag_rerankers.plaid.index import PlaidIndex
from rag_rerankers.workers import worker_threads

__all__ = ["ashared_index", "clear_shared_indexes", "shared_index"]

_indexes: dict[str, PlaidIndex] = {}
_locks: dict[str, threading.Lock] = {}
_guard = threading.Lock()


def shared_index(path: str | os.PathLike[str]) -> PlaidIndex:
    """Return the process's index for this folder, opening it once with the model it names.

    Threads that ask for the same folder at the same time wait for one load. An open that fails is
    tried again at the next call.

    Args:
        path: The folder of an index.

    Raises:
        MissingExtraError: The extra ``plaid`` is not installed.
        PlaidIndexError: The folder holds no index that can be used.
        ModelLoadError: Its model cannot be loaded.
    """
    key = str(Path(path).expanduser().absolute())
    with _guard:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        if key not in _indexes:
            _indexes[key] = PlaidIndex.open(path)
        return _indexes[key]


async def ashared_index(path: str | os.PathLike[str]) -> PlaidIndex:
    """:func:`shared_index` for asyncio: the event loop stays free while the index is read."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(worker_threads("load"), shared_index, path)


def _renew_locks() -> None:
    # A lock that another thread held at the fork would never be released in the child.
    global _guard
    _guard = threading.Lock()
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def clear_shared_indexes() -> None:
    """Forget the shared indexes; each is freed once nobody uses it."""
    with _guard:
        _indexes.clear()
        _locks.clear()
