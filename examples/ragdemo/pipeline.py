"""The chain itself: Chroma's top 50, reranked, the best 5 into an LLM chain."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_chroma import Chroma
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from langchain_rag_rerankers import RagRerank

from ragdemo.record import Candidate, Record, measure

__all__ = ["RerankedSearch", "answer_chain", "as_context"]

_PROMPT = ChatPromptTemplate.from_messages(
    [
        # Kept this plain for the default LLM: 135 million parameters follow one instruction.
        ("system", "Answer the question in one short sentence, using only the passages."),
        ("human", "{context}\n\nQuestion: {question}\nAnswer in one sentence:"),
    ]
)
_PASSAGE_CHARS = 1200


class RerankedSearch:
    """LangChain's own compression retriever around Chroma, with an eye on each stage.

    Args:
        store: The first stage.
        reranker: The second stage; its ``top_n`` should be None, so that the whole order shows.
        candidates: How many passages the first stage hands over.
    """

    def __init__(self, store: Chroma, reranker: RagRerank, candidates: int) -> None:
        first_stage = _WithSimilarity(store=store, k=candidates)
        self.retriever = ContextualCompressionRetriever(
            base_compressor=reranker, base_retriever=first_stage
        )

    def search(self, question: str) -> tuple[list[Document], list[Document], dict[str, float]]:
        """Candidates in first-stage order, the same reranked, and seconds by stage."""
        watch = _Stages()
        started = time.perf_counter()
        after = self.retriever.invoke(question, config={"callbacks": [watch]})
        total = time.perf_counter() - started
        seconds = {"retrieve": watch.retrieve_seconds, "rerank": total - watch.retrieve_seconds}
        return watch.candidates, list(after), seconds

    def record(
        self, id_: str, question: str, kind: str, grades: Mapping[str, int]
    ) -> tuple[Record, list[Document]]:
        """Search and write down relevance before and after; also returns the reranked passages."""
        documents_before, documents_after, seconds = self.search(question)
        before = [_candidate(doc, "similarity", grades) for doc in documents_before]
        after = [_candidate(doc, "relevance_score", grades) for doc in documents_after]
        record = Record(
            id=id_,
            question=question,
            kind=kind,
            before=tuple(before),
            after=tuple(after),
            measures_before=measure(before, grades),
            measures_after=measure(after, grades),
            seconds=seconds,
        )
        return record, documents_after


def answer_chain(llm: BaseChatModel) -> Runnable[dict[str, Any], str]:
    """From ``{"question": str, "context": str}`` to an answer."""
    return _PROMPT | llm | StrOutputParser()


def as_context(documents: Sequence[Document]) -> str:
    """Number the passages for the prompt."""
    return "\n\n".join(
        f"[{n}] {document.page_content[:_PASSAGE_CHARS]}" for n, document in enumerate(documents, 1)
    )


def _candidate(document: Document, score: str, grades: Mapping[str, int]) -> Candidate:
    passage = str(document.metadata["passage"])
    return Candidate(
        passage=passage,
        title=str(document.metadata["title"]),
        score=float(document.metadata[score]),
        grade=grades.get(passage),
    )


class _WithSimilarity(BaseRetriever):
    """Chroma as a retriever that keeps the similarity, which ``as_retriever()`` drops."""

    store: Chroma
    k: int

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        del run_manager  # nothing below reports to it
        return [
            document.model_copy(
                # Chroma's cosine distance is 1 - cosine.
                update={"metadata": {**document.metadata, "similarity": 1.0 - distance}}
            )
            for document, distance in self.store.similarity_search_with_score(query, k=self.k)
        ]


class _Stages(BaseCallbackHandler):
    """Times the inner retriever and keeps what it returned.

    The compression retriever is a retriever too: the inner one is the one with a parent.
    """

    def __init__(self) -> None:
        self.candidates: list[Document] = []
        self.retrieve_seconds = 0.0
        self._started: dict[UUID, float] = {}

    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember when the first stage began."""
        if parent_run_id is not None:
            self._started[run_id] = time.perf_counter()

    def on_retriever_end(
        self,
        documents: Sequence[Document],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the candidates of the first stage."""
        if run_id in self._started:
            self.retrieve_seconds = time.perf_counter() - self._started.pop(run_id)
            self.candidates = list(documents)
