"""Clients that speak several dialects: rerankers and litellm."""

from __future__ import annotations

import pytest
from tests.server.clients.serving import KEY, QUERY, TEXTS, Served

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

REASON = "pip install -r tests/requirements-clients.txt"


@pytest.fixture
def litellm(monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network
    return pytest.importorskip("litellm", reason="pip install litellm (it brings 240 MB)")


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("cohere", "/v1/rerank"),
        ("cohere", "/v2/rerank"),
        ("jina", "/v1/rerank"),
        ("text-embeddings-inference", "/rerank"),
    ],
)
def test_rerankers(served: Served, provider, path):
    rankers = pytest.importorskip("rerankers.models.api_rankers", reason=REASON)
    ranker = rankers.APIRanker("minilm-maxsim", KEY, provider, verbose=0, url=served.url + path)
    found = ranker.rank(QUERY, list(TEXTS), doc_ids=list(range(len(TEXTS))))
    served.agrees([(hit.document.doc_id, hit.score) for hit in found.results], served.hits())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("top_n", [None, 3])
@pytest.mark.parametrize(
    ("model", "base", "settings"),
    [
        ("cohere/minilm-maxsim", "", {}),
        ("cohere/minilm-maxsim", "/v2/rerank", {}),
        ("jina_ai/minilm-maxsim", "", {}),
        ("hosted_vllm/minilm-maxsim", "", {}),
        ("hosted_vllm/minilm-maxsim", "/v1", {}),
        # Asked for documents, it sends what it sends to vLLM, and wants them otherwise.
        ("infinity/minilm-maxsim", "", {"return_documents": False}),
        ("huggingface/minilm-maxsim", "", {}),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_litellm(served: Served, litellm, model, base, settings, top_n, asynchronous):
    asked = {
        "model": model,
        "query": QUERY,
        "documents": list(TEXTS),
        "api_base": served.url + base,
        "api_key": KEY,
        "top_n": top_n,
        "return_documents": True,
        **settings,
    }
    answer = await litellm.arerank(**asked) if asynchronous else litellm.rerank(**asked)
    hits = served.hits(top_n=top_n)
    served.agrees([(hit["index"], hit["relevance_score"]) for hit in answer.results], hits)
    if not settings:
        assert [hit["document"]["text"] for hit in answer.results] == [hit.text for hit in hits]


def test_litellm_with_a_wrong_key(served: Served, litellm):
    with pytest.raises(litellm.AuthenticationError, match="key"):
        litellm.rerank(
            model="cohere/minilm-maxsim",
            query=QUERY,
            documents=["a"],
            api_base=served.url,
            api_key="a-wrong-key",
        )
