"""LangChain's adapters for Cohere, Jina and infinity."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from tests.server.clients.serving import KEY, QUERY, TEXTS, Served

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

REASON = "pip install -r tests/requirements-clients.txt"
DOCUMENTS = [Document(text, metadata={"place": i}) for i, text in enumerate(TEXTS)]


def pairs(documents):
    return [(d.metadata["place"], d.metadata["relevance_score"]) for d in documents]


@pytest.fixture
def cohere(served: Served):
    langchain_cohere = pytest.importorskip("langchain_cohere", reason=REASON)

    def make(key=KEY, **settings):
        return langchain_cohere.CohereRerank(
            cohere_api_key=key, base_url=served.url, **{"model": "minilm-maxsim", **settings}
        )

    return make


@pytest.fixture
def jina(served: Served, monkeypatch):
    pytest.importorskip("langchain_community", reason=REASON)
    from langchain_community.document_compressors import jina_rerank

    # The address is no setting of theirs.
    monkeypatch.setattr(jina_rerank, "JINA_API_URL", f"{served.url}/v1/rerank")

    def make(key=KEY, **settings):
        return jina_rerank.JinaRerank(jina_api_key=key, **{"model": "minilm-maxsim", **settings})

    return make


@pytest.fixture
def infinity(served: Served):
    pytest.importorskip("langchain_community", reason=REASON)
    infinity_client = pytest.importorskip("infinity_client", reason=REASON)
    from langchain_community.document_compressors.infinity_rerank import InfinityRerank

    def make(key=KEY, **settings):
        client = infinity_client.Client(
            base_url=served.url, headers={"Authorization": f"Bearer {key}"}
        )
        return InfinityRerank(client=client, **settings)

    return make


ADAPTERS = ["cohere", "jina", "infinity"]


@pytest.mark.parametrize("model", ["minilm-maxsim", "tiny-cross"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_it_compresses_to_what_the_reranker_finds(request, served, adapter, model):
    compressor = request.getfixturevalue(adapter)(model=model)
    found = compressor.compress_documents(DOCUMENTS, QUERY)
    hits = served.hits(top_n=3, model=model)  # their default
    served.agrees(pairs(found), hits)
    assert [document.page_content for document in found] == [hit.text for hit in hits]


@pytest.mark.parametrize("top_n", [1, 5, 100])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_top_n(request, served, adapter, top_n):
    compressor = request.getfixturevalue(adapter)(top_n=top_n)
    found = compressor.compress_documents(DOCUMENTS, QUERY)
    served.agrees(pairs(found), served.hits(top_n=top_n))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_all_of_them(request, served, adapter):
    found = request.getfixturevalue(adapter)().rerank(DOCUMENTS, QUERY, top_n=None)
    served.agrees([(f["index"], f["relevance_score"]) for f in found], served.hits())


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_asynchronously(request, served, adapter):
    compressor = request.getfixturevalue(adapter)()
    found = await compressor.acompress_documents(DOCUMENTS, QUERY)
    served.agrees(pairs(found), served.hits(top_n=3))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_nothing_to_compress(request, adapter):
    assert list(request.getfixturevalue(adapter)().compress_documents([], QUERY)) == []


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_inside_a_retriever(request, served, adapter):
    langchain_classic = pytest.importorskip("langchain_classic.retrievers")
    from langchain_core.retrievers import BaseRetriever

    class Everything(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return DOCUMENTS

    retriever = langchain_classic.ContextualCompressionRetriever(
        base_compressor=request.getfixturevalue(adapter)(), base_retriever=Everything()
    )
    served.agrees(pairs(retriever.invoke(QUERY)), served.hits(top_n=3))


def test_infinity_without_a_model_means_the_default(infinity, served):
    found = infinity(top_n=2).compress_documents(DOCUMENTS, QUERY)
    served.agrees(pairs(found), served.hits(top_n=2))


def test_cohere_with_a_wrong_key(cohere):
    from cohere import UnauthorizedError

    with pytest.raises(UnauthorizedError, match="key"):
        cohere("a-wrong-key").compress_documents(DOCUMENTS, QUERY)


def test_jina_with_a_wrong_key(jina):
    with pytest.raises(RuntimeError, match="key"):
        jina("a-wrong-key").compress_documents(DOCUMENTS, QUERY)


def test_jina_with_an_unknown_model(jina):
    with pytest.raises(RuntimeError, match="jina-reranker-v99"):
        jina(model="jina-reranker-v99").compress_documents(DOCUMENTS, QUERY)


def test_jina_with_what_cannot_be_ranked(jina):
    with pytest.raises(RuntimeError, match="documents"):
        jina().rerank(["a", 7], QUERY)


def test_jina_ranks_objects(jina, served):
    found = jina().rerank([{"text": text} for text in TEXTS], QUERY, top_n=None)
    served.agrees([(f["index"], f["relevance_score"]) for f in found], served.hits())
