"""Fills the token store while nodes are ingested."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.bridge.pydantic import Field, field_serializer
from llama_index.core.schema import BaseNode, TransformComponent

from llama_index.postprocessor.rag_rerankers.base import RagRerank

__all__ = ["RagWarm"]


class RagWarm(TransformComponent):
    """Encodes nodes into a reranker's store, and passes them on as they are.

    A step of an ``IngestionPipeline``, behind the splitter and whatever writes metadata: when the
    first question comes, the reranker has nothing left to encode. With
    ``rerank = RagRerank(model="colbertv2", store="tokens")``:
    ``IngestionPipeline(transformations=[splitter, RagWarm(rerank=rerank), embed_model])``.
    """

    rerank: RagRerank = Field(description="The postprocessor whose store is filled.")

    @classmethod
    def class_name(cls) -> str:
        """Name under which LlamaIndex serialises this class."""
        return "RagWarm"

    @field_serializer("rerank")
    def _told(self, rerank: RagRerank) -> str:
        # A pipeline makes the key of its cache of this, also where the model has no name.
        return f"{rerank.model!r} {rerank.store!r} {rerank.metadata_mode}"

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Encode the nodes that the store does not hold.

        Args:
            nodes: What is going to be retrieved later.
            **kwargs: Not used.

        Returns:
            The nodes themselves.

        Raises:
            StoreError: The store cannot be written.
            ValueError: The reranker has no store.
        """
        if nodes:
            self.rerank.warm(nodes)
        return nodes

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """:meth:`__call__` for asyncio: the event loop stays free."""
        return await asyncio.to_thread(self.__call__, nodes, **kwargs)
