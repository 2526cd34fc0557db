"""The document compressor: LangChain documents in, the best of them out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic import SkipValidation
from rag_rerankers import RankedDocument, Reranker
from rag_rerankers.metering import Meter, metered
from rag_rerankers.ranking import check_threshold, check_top_n
from rag_rerankers.reranker import check_query

from langchain_rag_rerankers.documents import check_documents, scored_copy
from langchain_rag_rerankers.events import adispatch, async_manager, dispatch, sync_manager, told
from langchain_rag_rerankers.model import ModelFields

__all__ = ["RagRerank"]


class RagRerank(ModelFields, BaseDocumentCompressor):
    """Reranks retrieved documents with a local model, or with a server.

    Drop-in for ``ContextualCompressionRetriever`` and ``DocumentCompressorPipeline``; for LCEL
    there is :meth:`as_runnable`. One instance may be shared by any number of threads and tasks.

    The documents that come out are copies: id, type, subclass and metadata are kept, and the
    metadata has two more entries, which replace older ones of the same name:

    * ``relevance_score``: a Python float, see ``scores``.
    * ``retrieval_rank``: the document's index, counted from 0, in the list before reranking.

    Each rerank sends the custom event :data:`~langchain_rag_rerankers.RERANK_EVENT` to the
    callbacks, with ``model``, ``n_documents``, ``n_returned``, ``top_n``, ``threshold``,
    ``seconds`` (of ranking; loading the model is not counted) and ``failure``. Without documents
    nothing is reranked, and no event is sent.

    With ``on_failure="keep_order"`` a failing model is passed over: the documents come back in
    their order, without ``relevance_score`` (also without an older one) and not cut by
    ``threshold``; a :class:`~rag_rerankers.RerankSkippedWarning` is given, and ``failure`` of the
    event holds the reason, which is None otherwise.

    Example:
        >>> from langchain_core.documents import Document
        >>> class Length:
        ...     def score(self, query, texts):
        ...         return [float(len(text)) for text in texts]
        >>> rerank = RagRerank(model=Length(), top_n=1)
        >>> [best] = rerank.compress_documents([Document("a"), Document("bbb")], "any")
        >>> best.page_content, best.metadata["retrieval_rank"]
        ('bbb', 1)
    """

    top_n: Annotated[int | None, SkipValidation] = 5
    """How many documents to keep. None keeps all."""

    threshold: Annotated[float | None, SkipValidation] = None
    """Keep only documents whose relevance (0..1, also with ``scores="raw"``) is at least this."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse at construction what could only fail at first use."""
        check_top_n(self.top_n)
        check_threshold(self.threshold)
        super().model_post_init(context)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Rerank documents by how well they answer the query.

        Args:
            documents: The candidates, in the order of retrieval.
            query: The question.
            callbacks: Handlers or a callback manager for the rerank event. None: those of the
                runnable that is running, if any.

        Returns:
            Copies of the best documents, best first; equal scores keep the order of retrieval.

        Raises:
            ValueError: The query is None.
            TypeError: A document is not a ``Document`` with text; the message names its index.
            ModelLoadError: The model cannot be loaded.
        """
        check_query(query)
        candidates = check_documents(documents)
        if not candidates:
            return []
        manager = sync_manager(callbacks)
        reranker = self._load()
        start = time.perf_counter()
        with metered(shared=True) as meter:
            hits = reranker.rank(
                query, _texts(candidates), top_n=self.top_n, threshold=self.threshold
            )
        seconds = time.perf_counter() - start
        dispatch(manager, self._event(reranker, candidates, hits, seconds, meter))
        return self._documents(candidates, hits)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """:meth:`compress_documents` for asyncio: the event loop stays free.

        When the awaiting task is cancelled, the ranking stops after the batch in progress.
        """
        check_query(query)
        candidates = check_documents(documents)
        if not candidates:
            return []
        manager = async_manager(callbacks)
        reranker = await self._aload()
        start = time.perf_counter()
        with metered(shared=True) as meter:
            hits = await reranker.arank(
                query, _texts(candidates), top_n=self.top_n, threshold=self.threshold
            )
        event = self._event(reranker, candidates, hits, time.perf_counter() - start, meter)
        await adispatch(manager, event)
        return self._documents(candidates, hits)

    def as_runnable(self) -> Runnable[dict[str, Any], list[Document]]:
        """This reranker as a runnable for LCEL.

        Its input is a mapping with ``"documents"`` and the question as ``"query"`` or
        ``"question"`` (``"query"`` wins where both are given); other keys are ignored. Its output
        is that of :meth:`compress_documents`. Callbacks, tags and tracing come from the run's
        config.

        Example:
            >>> class Length:
            ...     def score(self, query, texts):
            ...         return [float(len(text)) for text in texts]
            >>> chain = RagRerank(model=Length(), top_n=1).as_runnable()
            >>> documents = [Document("a"), Document("bbb")]
            >>> [best] = chain.invoke({"query": "any", "documents": documents})
            >>> best.page_content
            'bbb'
        """
        return RunnableLambda(self._invoke, afunc=self._ainvoke, name=type(self).__name__)

    def _invoke(self, inputs: Mapping[str, Any], config: RunnableConfig) -> list[Document]:
        query, documents = _query_and_documents(inputs)
        return self.compress_documents(documents, query, callbacks=config.get("callbacks"))

    async def _ainvoke(self, inputs: Mapping[str, Any], config: RunnableConfig) -> list[Document]:
        query, documents = _query_and_documents(inputs)
        return await self.acompress_documents(documents, query, callbacks=config.get("callbacks"))

    def _documents(
        self, documents: Sequence[Document], hits: Sequence[RankedDocument]
    ) -> list[Document]:
        return [
            scored_copy(
                documents[hit.index],
                score=self._score_of(hit) if hit.scored else None,
                rank=hit.index,
            )
            for hit in hits
        ]

    def _event(
        self,
        reranker: Reranker,
        documents: Sequence[Document],
        hits: Sequence[RankedDocument],
        seconds: float,
        meter: Meter,
    ) -> dict[str, Any]:
        return {
            "model": reranker.name,
            "n_documents": len(documents),
            "n_returned": len(hits),
            "top_n": self.top_n,
            "threshold": self.threshold,
            "seconds": seconds,
            "failure": told(meter.failure),
        }


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _query_and_documents(inputs: object) -> tuple[str, Sequence[Document]]:
    wanted = 'a mapping with "documents" and "query" (or "question")'
    if not isinstance(inputs, Mapping):
        raise TypeError(f"the input must be {wanted}, not {type(inputs).__name__}: {inputs!r:.100}")
    query = inputs["query"] if "query" in inputs else inputs.get("question")
    if query is None or "documents" not in inputs:
        found = ", ".join(repr(key) for key in inputs if inputs[key] is not None) or "nothing"
        raise ValueError(f"the input must be {wanted}, but has only {found}")
    return query, inputs["documents"]
