"""The retriever: a PLAID index in, LangChain documents out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, SkipValidation
from rag_rerankers.plaid import PlaidHit, PlaidIndex, ashared_index, shared_index
from rag_rerankers.plaid.index import check_index, check_search

__all__ = ["PlaidRetriever"]


class PlaidRetriever(BaseRetriever):
    """Retrieves from a :class:`rag_rerankers.plaid.PlaidIndex`.

    Documents have the id, text and metadata that the index was given, and ``relevance_score``, a
    Python float in 0..1, in the metadata besides. Needs the extra ``plaid`` of rag-rerankers.

    Example:
        .. code-block:: python

            retriever = PlaidRetriever(index="pandas.plaid", k=5)
            documents = retriever.invoke("what do pandas eat?")
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    index: Annotated[str | os.PathLike[str] | PlaidIndex, SkipValidation]
    """An index, or the folder of one.

    A folder is opened at first use, once per process, however many retrievers ask for it.
    """

    k: Annotated[int, SkipValidation] = 10
    """How many documents to find."""

    exact: Annotated[bool, SkipValidation] = True
    """Whether the model reads the candidates' texts, or scores are estimated from the index."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse at construction what could only fail at first use."""
        check_index(self.index)
        check_search(self.k, self.exact)
        super().model_post_init(context)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        index = self.index if isinstance(self.index, PlaidIndex) else shared_index(self.index)
        return _documents(index.search(query, self.k, exact=self.exact))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        given = self.index
        index = given if isinstance(given, PlaidIndex) else await ashared_index(given)
        return _documents(await index.asearch(query, self.k, exact=self.exact))


def _documents(hits: Sequence[PlaidHit]) -> list[Document]:
    return [
        Document(hit.text, id=hit.id, metadata={**hit.metadata, "relevance_score": hit.relevance})
        for hit in hits
    ]
