"""LlamaIndex node postprocessor that reranks with rag-rerankers.

Importing this package loads no model and no torch; the first reranking does.
"""

from llama_index.postprocessor.rag_rerankers.base import RagRerank
from llama_index.postprocessor.rag_rerankers.warm import RagWarm

__all__ = ["RagRerank", "RagWarm"]
