"""colbert-ai, imported so that nobody notices.

Its import forces multiprocessing's start method to ``spawn``, changes an environment variable,
and needs a ``git`` program unless told otherwise. All of that is undone here. Its models are never
loaded (that breaks on transformers 5), it starts no processes (a child that dies leaves its parent
waiting for ever), compiles nothing, and reads no index through a memory map (which gives wrong data
with current torch, silently).
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from rag_rerankers.extras import needed

__all__ = ["EXTRA", "ColbertAI", "load"]

EXTRA = "plaid"
"""The extra that brings colbert-ai and faiss."""

_FEATURE = "PLAID retrieval (rag_rerankers.plaid)"
_lock = threading.Lock()
_loaded: ColbertAI | None = None


class ColbertAI(NamedTuple):
    """The parts of colbert-ai that are used, and faiss."""

    config: Any
    collection: Any
    collection_indexer: Any
    index_saver: Any
    index_scorer: Any
    strided_tensor: Any
    residual_codec: Any
    faiss: Any


def load() -> ColbertAI:
    """Import colbert-ai once, without its side effects.

    Raises:
        MissingExtraError: colbert-ai or faiss is not installed.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            with _no_side_effects():
                _loaded = _import()
        return _loaded


def _import() -> ColbertAI:
    faiss = needed("faiss", _FEATURE, EXTRA)
    needed("colbert", _FEATURE, EXTRA)
    indexer = importlib.import_module("colbert.indexing.collection_indexer")
    return ColbertAI(
        config=importlib.import_module("colbert.infra.config").ColBERTConfig,
        collection=importlib.import_module("colbert.data").Collection,
        collection_indexer=indexer.CollectionIndexer,
        index_saver=indexer.IndexSaver,
        index_scorer=importlib.import_module("colbert.search.index_storage").IndexScorer,
        strided_tensor=importlib.import_module("colbert.search.strided_tensor").StridedTensor,
        residual_codec=indexer.ResidualCodec,
        faiss=faiss,
    )


@contextmanager
def _no_side_effects() -> Iterator[None]:
    before = {
        name: os.environ.get(name) for name in ("GIT_PYTHON_REFRESH", "TOKENIZERS_PARALLELISM")
    }
    method = multiprocessing.get_start_method(allow_none=True)
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecated calls in its own code
            yield
    finally:
        multiprocessing.set_start_method(method, force=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
