"""One loaded model per process and configuration, however many adapters ask for it."""

from __future__ import annotations

import asyncio
import os

from rag_rerankers.once import OncePerKey
from rag_rerankers.options import ModelOptions
from rag_rerankers.reranker import Reranker
from rag_rerankers.workers import worker_threads

__all__ = ["ashared_reranker", "clear_shared_rerankers", "shared_reranker"]

_rerankers = OncePerKey[tuple[str, ModelOptions], Reranker]()


def shared_reranker(model: str | os.PathLike[str], options: ModelOptions | None = None) -> Reranker:
    """Return the process's reranker for this model and these options, loading it once.

    Threads that ask for the same model at the same time wait for one load; other models load
    beside it. A load that fails is tried again at the next call.

    Args:
        model: An alias, a hub id or a local folder.
        options: How to load it; None for the defaults.

    Raises:
        ModelLoadError: The model cannot be loaded.
    """
    options = options or ModelOptions()
    key = (os.fspath(model), options)
    return _rerankers.get(key, lambda: Reranker(model, **options.as_kwargs()))


async def ashared_reranker(
    model: str | os.PathLike[str], options: ModelOptions | None = None
) -> Reranker:
    """:func:`shared_reranker` for asyncio: the event loop stays free while the model loads."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(worker_threads("load"), shared_reranker, model, options)


def clear_shared_rerankers() -> None:
    """Forget the shared rerankers; each is freed once nobody uses it."""
    _rerankers.clear()
