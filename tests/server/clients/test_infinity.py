"""infinity's own client."""

from __future__ import annotations

import pytest
from tests.server.clients.serving import KEY, QUERY, TEXTS, Served

infinity_client = pytest.importorskip(
    "infinity_client", reason="pip install --no-deps infinity-client (it wants httpx<0.28)"
)
from infinity_client.api.default import rerank  # noqa: E402
from infinity_client.errors import UnexpectedStatus  # noqa: E402
from infinity_client.models import HTTPValidationError, RerankInput  # noqa: E402

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def pairs(answer):
    return [(hit.index, hit.relevance_score) for hit in answer.results]


@pytest.fixture
def client(served: Served):
    return infinity_client.AuthenticatedClient(
        base_url=served.url, token=KEY, raise_on_unexpected_status=True
    )


def body(**changes):
    return RerankInput(**{"query": QUERY, "documents": list(TEXTS), **changes})


@pytest.mark.parametrize("model", ["minilm-maxsim", "tiny-cross"])
def test_it_ranks_as_the_reranker_does(client, served, model):
    answer = rerank.sync(client=client, body=body(model=model))
    served.agrees(pairs(answer), served.hits(model=model))
    assert answer.model == model
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens >= answer.usage.prompt_tokens


def test_its_name_for_no_model_is_the_default(client, served):
    assert body().model == "default/not-specified"
    served.agrees(pairs(rerank.sync(client=client, body=body())), served.hits())


def test_raw_scores(client, served):
    answer = rerank.sync(client=client, body=body(model="tiny-cross", raw_scores=True))
    served.agrees(pairs(answer), served.hits(model="tiny-cross"), raw=True)


@pytest.mark.parametrize("top_n", [None, 1, 3])
def test_top_n(client, served, top_n):
    answer = rerank.sync(client=client, body=body(top_n=top_n))
    served.agrees(pairs(answer), served.hits(top_n=top_n))


def test_documents_come_back_as_the_strings_that_they_were(client, served):
    answer = rerank.sync(client=client, body=body(return_documents=True))
    assert [hit.document for hit in answer.results] == [hit.text for hit in served.hits()]


async def test_the_asynchronous_client(client, served):
    answer = await rerank.asyncio(client=client, body=body(top_n=2))
    served.agrees(pairs(answer), served.hits(top_n=2))


def test_a_wrong_key_is_its_own_error(served):
    client = infinity_client.AuthenticatedClient(
        base_url=served.url, token="a-wrong-key", raise_on_unexpected_status=True
    )
    with pytest.raises(UnexpectedStatus) as raised:
        rerank.sync(client=client, body=body())
    assert raised.value.status_code == 401
    assert b"key" in raised.value.content


def test_what_cannot_be_ranked_is_its_own_error(client):
    # The client parses what it gets with 422 as a list, and raises where it is none.
    answer = rerank.sync(client=client, body=body(documents=["a", 7]))
    assert isinstance(answer, HTTPValidationError)
    assert "documents" in str(answer.to_dict())
