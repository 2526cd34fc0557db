"""LangChain adapters of rag-rerankers.

Importing this package and making its objects loads neither torch nor a model; first use does.
"""

from __future__ import annotations

from langchain_rag_rerankers.cross_encoder import RagCrossEncoder
from langchain_rag_rerankers.events import RERANK_EVENT
from langchain_rag_rerankers.plaid import PlaidRetriever
from langchain_rag_rerankers.rerank import RagRerank
from langchain_rag_rerankers.warm import RagWarm

__version__ = "0.1.0"

__all__ = [
    "RERANK_EVENT",
    "PlaidRetriever",
    "RagCrossEncoder",
    "RagRerank",
    "RagWarm",
    "__version__",
]
