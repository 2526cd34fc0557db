"""Fills the token store while documents are ingested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.runnables.config import run_in_executor
from pydantic import BaseModel, ConfigDict

from langchain_rag_rerankers.documents import check_documents
from langchain_rag_rerankers.rerank import RagRerank

__all__ = ["RagWarm"]


class RagWarm(BaseModel, BaseDocumentTransformer):
    """Encodes documents into a reranker's store, and passes them on as they are.

    Put it between the splitter and the vector store: when the first question comes, the reranker
    has nothing left to encode. What the store holds already costs next to nothing.

    With ``rerank = RagRerank(model="colbertv2", store="tokens")`` and chunks from a splitter:
    ``Chroma.from_documents(RagWarm(rerank=rerank).transform_documents(chunks), embeddings)``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rerank: RagRerank
    """The compressor whose store is filled; its ``store`` must be set."""

    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> list[Document]:
        """Encode the documents that the store does not hold.

        Args:
            documents: What is going to be retrieved later.
            **kwargs: Not used.

        Returns:
            The documents themselves, in their order.

        Raises:
            StoreError: The store cannot be written.
            TypeError: Something is not a document; the message names its index.
            ValueError: The reranker has no store.
        """
        checked = check_documents(documents)
        if checked:
            self.rerank.warm([document.page_content for document in checked])
        return checked

    async def atransform_documents(
        self, documents: Sequence[Document], **kwargs: Any
    ) -> list[Document]:
        """:meth:`transform_documents` for asyncio: the event loop stays free."""
        return await run_in_executor(None, self.transform_documents, documents, **kwargs)
