"""One open index per process and folder, however many retrievers ask for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from rag_rerankers.once import OncePerKey
from rag_rerankers.plaid.index import PlaidIndex
from rag_rerankers.workers import worker_threads

__all__ = ["ashared_index", "clear_shared_indexes", "shared_index"]

_indexes = OncePerKey[str, PlaidIndex]()


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
    return _indexes.get(key, lambda: PlaidIndex.open(path))


async def ashared_index(path: str | os.PathLike[str]) -> PlaidIndex:
    """:func:`shared_index` for asyncio: the event loop stays free while the index is read."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(worker_threads("load"), shared_index, path)


def clear_shared_indexes() -> None:
    """Forget the shared indexes; each is freed once nobody uses it."""
    _indexes.clear()
