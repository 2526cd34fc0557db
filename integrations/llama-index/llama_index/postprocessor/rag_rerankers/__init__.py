"""LlamaIndex adapters of rag-rerankers: a node postprocessor that reranks, a PLAID retriever.

Importing this package loads no model and no torch; first use does.
"""

from llama_index.postprocessor.rag_rerankers.base import RagRerank
from llama_index.postprocessor.rag_rerankers.plaid import PlaidRetriever
from llama_index.postprocessor.rag_rerankers.warm import RagWarm

__all__ = ["PlaidRetriever", "RagRerank", "RagWarm"]
