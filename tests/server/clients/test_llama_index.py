"""LlamaIndex's adapters for Cohere, Jina and text-embeddings-inference."""

from __future__ import annotations

import pytest
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from tests.server.clients.serving import KEY, QUERY, TEXTS, Served

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

REASON = "pip install -r tests/requirements-clients.txt"


@pytest.fixture
def nodes():
    return [NodeWithScore(node=TextNode(text=text, id_=str(i))) for i, text in enumerate(TEXTS)]


def pairs(nodes):
    return [(int(node.node.node_id), node.score) for node in nodes]


@pytest.fixture
def cohere(served: Served):
    module = pytest.importorskip("llama_index.postprocessor.cohere_rerank", reason=REASON)

    def make(key=KEY, model="minilm-maxsim", **settings):
        return module.CohereRerank(api_key=key, base_url=served.url, model=model, **settings)

    return make


@pytest.fixture
def jina(served: Served):
    module = pytest.importorskip("llama_index.postprocessor.jinaai_rerank", reason=REASON)

    def make(key=KEY, model="minilm-maxsim", **settings):
        return module.JinaRerank(api_key=key, base_url=f"{served.url}/v1", model=model, **settings)

    return make


@pytest.fixture
def tei(served: Served):
    module = pytest.importorskip("llama_index.postprocessor.tei_rerank", reason=REASON)

    def make(key=KEY, **settings):
        # The token is the header's whole value.
        return module.TextEmbeddingInference(
            base_url=served.url, auth_token=f"Bearer {key}", **settings
        )

    return make


ADAPTERS = ["cohere", "jina", "tei"]


@pytest.mark.parametrize("top_n", [1, 3, 100])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_it_orders_nodes_as_the_reranker_does(request, served, nodes, adapter, top_n):
    postprocessor = request.getfixturevalue(adapter)(top_n=top_n)
    found = postprocessor.postprocess_nodes(nodes, query_bundle=QueryBundle(QUERY))
    served.agrees(pairs(found), served.hits(top_n=top_n))


@pytest.mark.parametrize("adapter", ["cohere", "jina"])
def test_another_model(request, served, nodes, adapter):
    postprocessor = request.getfixturevalue(adapter)(model="tiny-cross", top_n=8)
    found = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    served.agrees(pairs(found), served.hits(model="tiny-cross"))


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_asynchronously(request, served, nodes, adapter):
    postprocessor = request.getfixturevalue(adapter)(top_n=3)
    found = await postprocessor.apostprocess_nodes(nodes, query_bundle=QueryBundle(QUERY))
    served.agrees(pairs(found), served.hits(top_n=3))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_nothing_to_order(request, adapter):
    postprocessor = request.getfixturevalue(adapter)()
    assert postprocessor.postprocess_nodes([], query_str=QUERY) == []


def test_tei_texts_come_with_their_metadata_in_full_mode(tei, served, nodes):
    for node in nodes:
        node.node.metadata["kind"] = "animal"
    postprocessor = tei(top_n=8)
    postprocessor.mode = "full"
    found = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
    assert texts[0] == f"kind: animal\n\n{TEXTS[0]}"
    served.agrees(pairs(found), served.hits(texts))


def test_cohere_with_a_wrong_key(cohere, nodes):
    from cohere import UnauthorizedError

    with pytest.raises(UnauthorizedError, match="key"):
        cohere("a-wrong-key").postprocess_nodes(nodes, query_str=QUERY)


def test_jina_with_a_wrong_key(jina, nodes):
    with pytest.raises(RuntimeError, match="key"):
        jina("a-wrong-key").postprocess_nodes(nodes, query_str=QUERY)


def test_jina_with_an_unknown_model(jina, nodes):
    with pytest.raises(RuntimeError, match="jina-reranker-v99"):
        jina(model="jina-reranker-v99").postprocess_nodes(nodes, query_str=QUERY)


def test_tei_with_a_wrong_key(tei, nodes):
    # It looks at no status: that what it gets is no list of as many hits must stop it.
    with pytest.raises((AssertionError, TypeError)):
        tei("a-wrong-key").postprocess_nodes(nodes, query_str=QUERY)
