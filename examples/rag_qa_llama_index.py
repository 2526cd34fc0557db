"""The same demo with LlamaIndex: Chroma's top 50 -> rerank -> top 5 -> LLM.

    python examples/rag_qa_llama_index.py --question "How do I catch several exceptions at once?"
    python examples/rag_qa_llama_index.py --all --answers 3

What is LlamaIndex's own stands in this file; command line, corpus and records are in ``ragdemo``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from ragdemo.app import run
from ragdemo.cli import TOP_N
from ragdemo.record import Found, Hit
from ragdemo.search import Settings

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore

    from ragdemo.models import Endpoint
    from ragdemo.passages import Passage

# Stored beside the text, but neither embedded nor reranked nor shown to the LLM.
_METADATA = ["passage", "title", "source", "sha256"]


class LlamaIndexSearch:
    """A vector index over Chroma, with the reranker as a node postprocessor."""

    def __init__(self, settings: Settings, passages: Sequence[Passage], console: Console) -> None:
        from llama_index.core import StorageContext, VectorStoreIndex
        from llama_index.core.schema import TextNode
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding
        from llama_index.vector_stores.chroma import ChromaVectorStore

        from llama_index.postprocessor.rag_rerankers import RagRerank
        from ragdemo.index import CHROMA_SETTINGS, batches, changes, metadata, open_chroma
        from ragdemo.models import embedding_dtype, embedding_folder

        collection = open_chroma(settings.chroma).get_or_create_collection(
            settings.collection, metadata=CHROMA_SETTINGS
        )
        store = ChromaVectorStore(chroma_collection=collection)
        embeddings = HuggingFaceEmbedding(
            model_name=str(embedding_folder()),
            device="cpu",
            embed_batch_size=8,
            model_kwargs={"dtype": embedding_dtype()},
        )
        self._index = VectorStoreIndex.from_vector_store(
            store,
            embed_model=embeddings,
            storage_context=StorageContext.from_defaults(vector_store=store),
        )
        stored = collection.get(include=["metadatas"])
        entries = dict(zip(stored["ids"], stored["metadatas"] or [], strict=True))
        todo = changes(entries, passages)
        console.print(str(todo), style="dim", highlight=False)
        if todo.removed:
            collection.delete(ids=list(todo.removed))
        for batch in batches(todo.new, console):
            self._index.insert_nodes(
                [
                    TextNode(
                        id_=passage.id,
                        text=passage.text,
                        metadata=metadata(passage),
                        excluded_embed_metadata_keys=_METADATA,
                        excluded_llm_metadata_keys=_METADATA,
                    )
                    for passage in batch
                ]
            )
        self._candidates = settings.candidates
        self._retriever = self._index.as_retriever(similarity_top_k=settings.candidates)
        self._rerank = RagRerank(model=settings.model, top_n=None)
        self._rerank_top = RagRerank(model=settings.model, top_n=TOP_N)

    def search(self, question: str) -> Found:
        """Retrieve and rerank all candidates."""
        started = time.perf_counter()
        before = self._retriever.retrieve(question)
        retrieved = time.perf_counter()
        after = self._rerank.postprocess_nodes(before, query_str=question)
        reranked = time.perf_counter()
        return Found(
            before=tuple(_hit(node, _cosine(node)) for node in before),
            after=tuple(_hit(node, node.score) for node in after),
            seconds={"retrieve": retrieved - started, "rerank": reranked - retrieved},
        )

    def answer(self, question: str, endpoint: Endpoint) -> tuple[str, list[Hit]]:
        """Run the whole chain as a query engine."""
        from llama_index.llms.openai_like import OpenAILike

        from ragdemo.models import ANSWER_TOKENS, CONTEXT_TOKENS, api_key

        engine = self._index.as_query_engine(
            similarity_top_k=self._candidates,
            node_postprocessors=[self._rerank_top],
            llm=OpenAILike(
                api_base=endpoint.url,
                model=endpoint.model,
                api_key=api_key(),
                is_chat_model=True,
                context_window=CONTEXT_TOKENS,
                max_tokens=ANSWER_TOKENS,
                temperature=0.0,
                timeout=120,
                max_retries=1,
                additional_kwargs={"frequency_penalty": endpoint.frequency_penalty},
            ),
        )
        response = engine.query(question)
        return str(response), [_hit(node, node.score) for node in response.source_nodes]


def _cosine(found: NodeWithScore) -> float:
    # LlamaIndex turns Chroma's distance, 1 - cosine, into exp(-distance).
    return 1.0 + math.log(found.get_score(raise_error=True))


def _hit(found: NodeWithScore, score: float | None) -> Hit:
    metadata = found.node.metadata
    return Hit(metadata["passage"], metadata["title"], metadata["source"], float(score or 0.0))


if __name__ == "__main__":
    raise SystemExit(run("LlamaIndex", LlamaIndexSearch))
