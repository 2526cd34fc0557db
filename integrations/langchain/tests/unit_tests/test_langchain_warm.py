"""Ingestion that fills the store which the reranker reads from."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from rag_rerankers import TokenStore
from rag_rerankers.metering import metered

from langchain_rag_rerankers import RagRerank, RagWarm

DOCUMENTS = [Document(text, id=text[:3]) for text in ("the giant panda", "a bear", "a bear")]


@pytest.fixture
def rerank(tmp_path):
    return RagRerank(model="minilm-maxsim", store=tmp_path / "tokens", dtype="float32")


def test_documents_pass_as_they_are_and_are_not_encoded_again(rerank):
    passed = RagWarm(rerank=rerank).transform_documents(DOCUMENTS)
    assert all(one is other for one, other in zip(passed, DOCUMENTS, strict=True))
    with metered() as used:
        found = rerank.compress_documents(DOCUMENTS, "panda?")
    assert used.tokens < 8, "the query alone"
    assert found[0].page_content == "the giant panda"


async def test_the_same_for_asyncio(rerank, tmp_path):
    assert await RagWarm(rerank=rerank).atransform_documents(DOCUMENTS) == DOCUMENTS
    assert TokenStore(tmp_path / "tokens").info().entries == 2


def test_nothing_is_loaded_for_no_documents(tmp_path):
    rerank = RagRerank(model=str(tmp_path / "no-model"), store=tmp_path / "tokens")
    assert RagWarm(rerank=rerank).transform_documents([]) == []


def test_a_reranker_without_a_store_is_refused():
    warm = RagWarm(rerank=RagRerank(model="minilm-maxsim"))
    with pytest.raises(ValueError, match="no store to warm"):
        warm.transform_documents(DOCUMENTS)


def test_what_is_not_a_document_is_refused(rerank):
    with pytest.raises(TypeError, match="document 1 is not a Document"):
        RagWarm(rerank=rerank).transform_documents([DOCUMENTS[0], "text"])
