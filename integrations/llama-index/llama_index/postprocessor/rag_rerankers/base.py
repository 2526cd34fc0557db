"""RagRerank: a LlamaIndex node postprocessor around :class:`rag_rerankers.Reranker`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle

from llama_index.postprocessor.rag_rerankers.events import dispatcher, reranking
from llama_index.postprocessor.rag_rerankers.fields import RerankFields
from llama_index.postprocessor.rag_rerankers.nodes import check_nodes, keep_retrieval, texts_of
from rag_rerankers import RankedDocument, Reranker, Warmed, ashared_reranker, shared_reranker
from rag_rerankers.reranker import check_query

__all__ = ["RagRerank"]


class RagRerank(RerankFields):
    """Reorders retrieved nodes by how well they answer the query, and keeps the best.

    The model is loaded at the first reranking, once per process for the same name and options.
    One instance may be shared by any number of threads and asyncio tasks. Nodes that come in are
    never changed: the result holds new ``NodeWithScore`` objects.

    Raises:
        TypeError, ValueError: A bad or unknown argument, at construction.

    Example:
        >>> from llama_index.core.schema import NodeWithScore, TextNode
        >>> class Length:
        ...     def score(self, query, texts):
        ...         return [float(len(text)) for text in texts]
        >>> nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("a", "ccc", "bb")]
        >>> rerank = RagRerank(model=Length(), top_n=2)
        >>> [hit.text for hit in rerank.postprocess_nodes(nodes, query_str="any")]
        ['ccc', 'bb']
    """

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex serialises this class."""
        return "RagRerank"

    def warm(self, nodes: Sequence[BaseNode]) -> Warmed:
        """Encode nodes into the ``store``, as reranking will read them.

        Raises:
            StoreError: The store cannot be written.
            ValueError: There is no store.
        """
        scored = [NodeWithScore(node=node) for node in nodes]
        return self._reranker().warm(texts_of(scored, self.metadata_mode))

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, nodes, texts = self._checked(nodes, query_bundle)
        if not nodes:
            return []
        reranker = self._reranker()
        with reranking(self.callback_manager, nodes, query, self.top_n, reranker.name) as result:
            hits = reranker.rank(query.query_str, texts, top_n=self.top_n, threshold=self.threshold)
            result.extend(self._scored(nodes, hits))
        return result

    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, nodes, texts = self._checked(nodes, query_bundle)
        if not nodes:
            return []
        reranker = self._loaded()
        if reranker is None:
            name, options = str(self.model), self._options()
            reranker = await ashared_reranker(name, options)
            self._ready = ((name, options), reranker)
        with reranking(self.callback_manager, nodes, query, self.top_n, reranker.name) as result:
            hits = await reranker.arank(
                query.query_str, texts, top_n=self.top_n, threshold=self.threshold
            )
            result.extend(self._scored(nodes, hits))
        return result

    def _checked(
        self, nodes: object, query: object
    ) -> tuple[QueryBundle, list[NodeWithScore], list[str]]:
        if query is None:
            raise ValueError("the query is missing (None): give query_bundle= or query_str=")
        if not isinstance(query, QueryBundle):
            raise TypeError(
                f"query_bundle must be a QueryBundle, not {query!r:.100}. "
                "Give a plain string as query_str="
            )
        check_query(query.query_str)
        checked = check_nodes(nodes)
        return query, checked, texts_of(checked, self.metadata_mode)

    def _scored(
        self, nodes: Sequence[NodeWithScore], hits: Sequence[RankedDocument]
    ) -> list[NodeWithScore]:
        return [
            NodeWithScore(
                node=(
                    keep_retrieval(nodes[hit.index], rank=hit.index)
                    if self.keep_retrieval_score
                    else nodes[hit.index].node
                ),
                score=self._score(hit),
            )
            for hit in hits
        ]

    def _score(self, hit: RankedDocument) -> float | None:
        if not hit.scored:
            return None
        return hit.score if self.scores == "raw" else hit.relevance

    def _loaded(self) -> Reranker | None:
        if isinstance(self.model, Reranker):
            return self.model
        if not isinstance(self.model, (str, os.PathLike)):
            return Reranker(self.model, on_failure=self.on_failure)
        # Compared, as model_copy(update=...) may have given this instance another model.
        if self._ready is not None and self._ready[0] == (self.model, self._options()):
            return self._ready[1]
        return None

    def _reranker(self) -> Reranker:
        loaded = self._loaded()
        if loaded is None:
            name, options = str(self.model), self._options()
            loaded = shared_reranker(name, options)
            self._ready = ((name, options), loaded)
        return loaded
