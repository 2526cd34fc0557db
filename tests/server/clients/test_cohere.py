"""Cohere's own client, both of its versions."""

from __future__ import annotations

import pytest
from tests.server.clients.serving import KEY, QUERY, TEXTS, Served

cohere = pytest.importorskip("cohere", reason="pip install -r tests/requirements-clients.txt")

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def pairs(answer):
    return [(hit.index, hit.relevance_score) for hit in answer.results]


@pytest.fixture
def v1(served: Served):
    with cohere.Client(KEY, base_url=served.url) as client:
        yield client


@pytest.fixture
def v2(served: Served):
    with cohere.ClientV2(KEY, base_url=served.url) as client:
        yield client


@pytest.mark.parametrize("model", ["minilm-maxsim", "tiny-cross"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_it_ranks_as_the_reranker_does(request, served, version, model):
    client = request.getfixturevalue(version)
    answer = client.rerank(model=model, query=QUERY, documents=list(TEXTS))
    served.agrees(pairs(answer), served.hits(model=model))
    assert all(0 <= score <= 1 for _, score in pairs(answer))


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("top_n", [1, 3, 100])
def test_top_n(request, served, version, top_n):
    client = request.getfixturevalue(version)
    answer = client.rerank(model="minilm-maxsim", query=QUERY, documents=list(TEXTS), top_n=top_n)
    served.agrees(pairs(answer), served.hits(top_n=top_n))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nothing_to_rank(request, version):
    client = request.getfixturevalue(version)
    assert client.rerank(model="minilm-maxsim", query=QUERY, documents=[]).results == []


def test_the_answer_has_an_id_and_counts_tokens(v2):
    answer = v2.rerank(model="minilm-maxsim", query=QUERY, documents=list(TEXTS))
    assert isinstance(answer.id, str)
    assert answer.id
    assert answer.meta.api_version.version
    assert answer.meta.tokens.input_tokens > 0


def test_v1_needs_no_model(v1, served):
    served.agrees(pairs(v1.rerank(query=QUERY, documents=list(TEXTS))), served.hits())


def test_v1_returns_documents_where_it_is_asked_to(v1, served):
    answer = v1.rerank(query=QUERY, documents=list(TEXTS), return_documents=True)
    assert [hit.document.text for hit in answer.results] == [hit.text for hit in served.hits()]
    for asked in ({}, {"return_documents": False}):
        answer = v1.rerank(query=QUERY, documents=list(TEXTS), **asked)
        assert [hit.document for hit in answer.results] == [None] * len(TEXTS)


def test_v1_ranks_objects_by_their_text_and_keeps_the_rest(v1, served):
    documents = [{"text": text, "title": f"t{i}"} for i, text in enumerate(TEXTS)]
    answer = v1.rerank(query=QUERY, documents=documents, return_documents=True)
    served.agrees(pairs(answer), served.hits())
    assert [hit.document.text for hit in answer.results] == [hit.text for hit in served.hits()]
    assert [hit.document.title for hit in answer.results] == [f"t{h.index}" for h in served.hits()]


def test_v1_ranks_objects_by_the_fields_that_it_is_told(v1, served):
    documents = [{"title": text, "body": "giant panda"} for text in TEXTS]
    answer = v1.rerank(query=QUERY, documents=documents, rank_fields=["title"])
    served.agrees(pairs(answer), served.hits([f"title: {text}" for text in TEXTS]))


def test_v2_may_say_how_much_of_a_document_counts(v2, served):
    # Said in most integrations whether it matters or not; the model's own limit is kept.
    answer = v2.rerank(
        model="minilm-maxsim", query=QUERY, documents=list(TEXTS), max_tokens_per_doc=4096
    )
    served.agrees(pairs(answer), served.hits())


async def test_the_asynchronous_clients(served):
    for kind in (cohere.AsyncClient, cohere.AsyncClientV2):
        async with kind(KEY, base_url=served.url) as client:
            answer = await client.rerank(
                model="tiny-cross", query=QUERY, documents=list(TEXTS), top_n=4
            )
        served.agrees(pairs(answer), served.hits(top_n=4, model="tiny-cross"))


@pytest.mark.parametrize("kind", [cohere.Client, cohere.ClientV2])
def test_a_wrong_key_is_its_own_error(served, kind):
    with (
        kind("a-wrong-key", base_url=served.url) as client,
        pytest.raises(cohere.UnauthorizedError) as raised,
    ):
        client.rerank(model="minilm-maxsim", query=QUERY, documents=["a"])
    assert "key" in raised.value.body["message"]
    assert "a-wrong-key" not in str(raised.value.body)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_unknown_model_is_its_own_error(request, version):
    client = request.getfixturevalue(version)
    with pytest.raises(cohere.NotFoundError, match="rerank-v99"):
        client.rerank(model="rerank-v99", query=QUERY, documents=["a"])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_cannot_be_ranked_is_its_own_error(request, version):
    client = request.getfixturevalue(version)
    with pytest.raises(cohere.UnprocessableEntityError, match=r"documents\D+1"):
        client.rerank(model="minilm-maxsim", query=QUERY, documents=["a", 7])
