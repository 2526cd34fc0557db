"""Retrieval-augmented answers with LangChain: Chroma's top 50 -> rerank -> top 5 -> LLM.

    python examples/rag_qa.py --question "How do I make my object usable in a with block?"
    python examples/rag_qa.py --all --answers 3
    python examples/rag_qa.py --docs my-notes/ --question "..." --model bge-reranker-v2-m3

What is LangChain's own stands in this file; command line, corpus and records are in ``ragdemo``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from ragdemo.app import run
from ragdemo.cli import TOP_N
from ragdemo.record import Found, Hit
from ragdemo.search import Settings

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from ragdemo.models import Endpoint
    from ragdemo.passages import Passage


class LangChainSearch:
    """LangChain's own compression retriever around Chroma."""

    def __init__(self, settings: Settings, passages: Sequence[Passage], console: Console) -> None:
        from langchain_chroma import Chroma
        from langchain_classic.retrievers import ContextualCompressionRetriever
        from langchain_huggingface import HuggingFaceEmbeddings

        from langchain_rag_rerankers import RagRerank
        from ragdemo.index import CHROMA_SETTINGS, batches, changes, metadata, open_chroma
        from ragdemo.models import embedding_dtype, embedding_folder

        self._store = Chroma(
            client=open_chroma(settings.chroma),
            collection_name=settings.collection,
            collection_metadata=CHROMA_SETTINGS,
            embedding_function=HuggingFaceEmbeddings(
                model_name=str(embedding_folder()),
                model_kwargs={"device": "cpu", "model_kwargs": {"dtype": embedding_dtype()}},
                encode_kwargs={"normalize_embeddings": True, "batch_size": 8},
            ),
        )
        stored = self._store.get(include=["metadatas"])
        todo = changes(dict(zip(stored["ids"], stored["metadatas"], strict=True)), passages)
        console.print(str(todo), style="dim", highlight=False)
        if todo.removed:
            self._store.delete(ids=list(todo.removed))
        for batch in batches(todo.new, console):
            self._store.add_texts(
                [passage.text for passage in batch],
                metadatas=[metadata(passage) for passage in batch],
                ids=[passage.id for passage in batch],
            )
        self._k = settings.candidates
        self._rerank = RagRerank(model=settings.model, top_n=None)  # None: all, to show movement
        # This is all that a chain needs to rerank.
        self._retriever = ContextualCompressionRetriever(
            base_compressor=RagRerank(model=settings.model, top_n=TOP_N),
            base_retriever=self._store.as_retriever(search_kwargs={"k": settings.candidates}),
        )

    def search(self, question: str) -> Found:
        """Retrieve and rerank all candidates, stage by stage."""
        started = time.perf_counter()
        before = self._store.similarity_search_with_score(question, k=self._k)
        retrieved = time.perf_counter()
        after = self._rerank.compress_documents([document for document, _ in before], question)
        reranked = time.perf_counter()
        return Found(
            # Chroma's cosine distance is 1 - cosine.
            before=tuple(_hit(document, 1.0 - distance) for document, distance in before),
            after=tuple(_hit(document, document.metadata["relevance_score"]) for document in after),
            seconds={"retrieve": retrieved - started, "rerank": reranked - retrieved},
        )

    def answer(self, question: str, endpoint: Endpoint) -> tuple[str, list[Hit]]:
        """Retrieve, rerank, and let an LCEL chain answer."""
        from langchain_core.output_parsers import StrOutputParser
        from langchain_core.prompts import ChatPromptTemplate

        from ragdemo.models import chat_model

        prompt = ChatPromptTemplate.from_messages(
            [
                # Kept this plain for the default LLM: 135 million parameters follow one order.
                ("system", "Answer the question in one short sentence, using only the passages."),
                ("human", "{context}\n\nQuestion: {question}\nAnswer in one sentence:"),
            ]
        )
        chain = prompt | chat_model(endpoint) | StrOutputParser()
        # Apart from the chain, because the sources are shown too. RunnablePassthrough.assign could
        # keep them, but asks the LLM from another thread, where Ctrl-C does not reach it.
        documents = self._retriever.invoke(question)
        answer = chain.invoke({"context": _context(documents), "question": question})
        return answer, [_hit(d, d.metadata["relevance_score"]) for d in documents]


def _context(documents: Sequence[Document]) -> str:
    # Short, because the default LLM reads on one core; a passage says most at its beginning.
    return "\n\n".join(document.page_content[:400] for document in documents)


def _hit(document: Document, score: float) -> Hit:
    metadata = document.metadata
    return Hit(metadata["passage"], metadata["title"], metadata["source"], float(score))


if __name__ == "__main__":
    raise SystemExit(run("LangChain", LangChainSearch))
