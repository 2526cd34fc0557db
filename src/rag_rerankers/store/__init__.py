"""Token vectors on disk: a document is encoded once, for all queries, processes and restarts."""

from __future__ import annotations

from rag_rerankers.store.reports import ModelInStore, Pruned, StoreInfo, Verified, Warmed
from rag_rerankers.store.token_store import TokenStore

__all__ = ["ModelInStore", "Pruned", "StoreInfo", "TokenStore", "Verified", "Warmed"]
