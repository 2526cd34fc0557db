"""The retriever: a PLAID index in, LlamaIndex nodes out."""

from __future__ import annotations

import os
from collections.abc import Sequence

from llama_index.core.callbacks import CallbackManager
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index.postprocessor.rag_rerankers.events import dispatcher
from rag_rerankers.plaid import PlaidHit, PlaidIndex, ashared_index, shared_index
from rag_rerankers.plaid.index import check_index, check_search

__all__ = ["PlaidRetriever"]


class PlaidRetriever(BaseRetriever):
    """Retrieves from a :class:`rag_rerankers.plaid.PlaidIndex`.

    Nodes have the id, text and metadata that the index was given; their score is the relevance, a
    Python float in 0..1. Needs the extra ``plaid`` of rag-rerankers.

    Args:
        index: An index, or the folder of one: that is opened at first use, once per process,
            however many retrievers ask for it.
        k: How many nodes to find.
        exact: Whether the model reads the candidates' texts, or scores are estimated from the
            index.
        callback_manager: As for every retriever.

    Raises:
        TypeError, ValueError: A bad argument.

    Example:
        .. code-block:: python

            retriever = PlaidRetriever("pandas.plaid", k=5)
            nodes = retriever.retrieve("what do pandas eat?")
    """

    def __init__(
        self,
        index: str | os.PathLike[str] | PlaidIndex,
        *,
        k: int = 10,
        exact: bool = True,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        check_index(index)
        check_search(k, exact)
        self.index = index
        self.k = k
        self.exact = exact
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        index = self.index if isinstance(self.index, PlaidIndex) else shared_index(self.index)
        return _nodes(index.search(query_bundle.query_str, self.k, exact=self.exact))

    @dispatcher.span
    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        given = self.index
        index = given if isinstance(given, PlaidIndex) else await ashared_index(given)
        return _nodes(await index.asearch(query_bundle.query_str, self.k, exact=self.exact))


def _nodes(hits: Sequence[PlaidHit]) -> list[NodeWithScore]:
    return [
        NodeWithScore(
            node=TextNode(id_=hit.id, text=hit.text, metadata=dict(hit.metadata)),
            score=hit.relevance,
        )
        for hit in hits
    ]
