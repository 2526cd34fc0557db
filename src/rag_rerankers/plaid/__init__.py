"""Retrieval over a whole collection: PLAID by colbert-ai, then exact MaxSim.

Needs the extra ``plaid``; importing it loads none of that, nor torch.
"""

from __future__ import annotations

from rag_rerankers.plaid.hits import PlaidHit
from rag_rerankers.plaid.index import PlaidIndex
from rag_rerankers.plaid.sharing import ashared_index, clear_shared_indexes, shared_index

__all__ = ["PlaidHit", "PlaidIndex", "ashared_index", "clear_shared_indexes", "shared_index"]
