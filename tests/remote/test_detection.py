from __future__ import annotations

import json

import httpx
import pytest
from tests.remote.servers import (
    SERVERS,
    Cohere,
    Infinity,
    Jina,
    LlamaCpp,
    Native,
    Server,
    Tei,
    Vllm,
    logit,
)

from rag_rerankers import RemoteError, RemoteScorer

QUERY = "what is a panda"
TEXTS = ["a panda is a bear", "rust", "what is it"]


def scorer(server, url="http://h", **settings):
    return RemoteScorer(url, transport=server.transport, retries=0, **settings)


@pytest.mark.parametrize(
    ("kind", "dialect", "asked"),
    [
        (Native, "native", "POST /rank"),
        (Tei, "tei", "POST /rerank"),
        (Infinity, "cohere", "POST /rerank"),
        (Vllm, "cohere", "POST /rerank"),
        (LlamaCpp, "cohere", "POST /rerank"),
        (Jina, "cohere", "POST /v1/rerank"),
    ],
)
def test_every_server_is_recognised_by_its_host(kind, dialect, asked):
    server = kind()
    remote = scorer(server)
    assert remote.dialect is None
    assert server.requests == []
    remote.score(QUERY, TEXTS)
    assert remote.dialect == dialect
    assert server.requests[-1] == asked


@pytest.mark.parametrize("kind", SERVERS)
def test_it_is_found_out_once(kind):
    server = kind()
    remote = scorer(server)
    first = remote.score(QUERY, TEXTS)
    n_requests = len(server.requests)
    assert remote.score(QUERY, TEXTS) == first
    assert len(server.requests) == n_requests + 1


def test_cohere_is_asked_at_its_own_path_with_key_and_model():
    server = Cohere()
    remote = scorer(server, "https://api.cohere.com/v2/rerank#rerank-v3.5", api_key="co-key")
    remote.score(QUERY, TEXTS)
    assert server.requests == ["POST /v2/rerank"] * 2  # two texts to find out, then the three
    assert server.bodies[-1] == {
        "query": QUERY, "documents": TEXTS, "top_n": 3, "model": "rerank-v3.5",
    }  # fmt: skip


def test_cohere_is_found_below_its_version_too():
    server = Cohere()
    remote = scorer(server, "https://api.cohere.com/v2", model="rerank-v3.5", api_key="co-key")
    remote.score(QUERY, TEXTS)
    assert server.requests[-1] == "POST /v2/rerank"


@pytest.mark.parametrize("url", ["http://h/prefix", "http://h/prefix/"])
def test_a_path_before_the_servers_own_is_kept(url):
    server = Infinity()
    below = httpx.MockTransport(
        lambda request: (
            server(
                httpx.Request(
                    request.method,
                    str(request.url).replace("/prefix", "", 1),
                    content=request.content,
                )
            )
            if request.url.path.startswith("/prefix/")
            else httpx.Response(404)
        )
    )
    remote = RemoteScorer(url, transport=below)
    assert remote.score(QUERY, TEXTS) == pytest.approx([logit(QUERY, text) for text in TEXTS])


def test_the_native_server_is_found_below_v1_too():
    server = Native()
    remote = scorer(server, "http://h/v1")
    remote.score(QUERY, TEXTS)
    assert (remote.dialect, server.requests[-1]) == ("native", "POST /rank")


def test_tei_is_asked_for_raw_scores_and_to_cut_what_is_too_long():
    server = Tei()
    scorer(server).score(QUERY, TEXTS)
    assert server.bodies == [{"query": QUERY, "texts": TEXTS, "raw_scores": True, "truncate": True}]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Infinity, {"model": "served", "return_documents": False, "raw_scores": True}),
        (Vllm, {"model": "served", "return_documents": False}),
        (Jina, {"return_documents": False}),
    ],
)
def test_others_are_told_their_own_model_and_asked_for_all(kind, more):
    server = kind()
    scorer(server).score(QUERY, TEXTS)
    assert server.bodies[-1] == {"query": QUERY, "documents": TEXTS, "top_n": 3, **more}


def test_the_model_that_is_given_is_the_one_that_is_asked():
    server = Vllm()
    scorer(server, "http://h#mine").score(QUERY, TEXTS)
    assert server.bodies[-1]["model"] == "mine"


@pytest.mark.parametrize(
    ("kind", "dialect"), [(Native, "native"), (Tei, "tei"), (Jina, "cohere"), (LlamaCpp, "cohere")]
)
def test_a_dialect_that_is_known_is_not_searched_for(kind, dialect):
    server = kind()
    remote = scorer(server, dialect=dialect)
    scores = remote.score(QUERY, TEXTS)
    assert scores[0] == max(scores)
    assert remote.dialect == dialect


def test_the_native_dialect_costs_no_question():
    server = Native()
    scorer(server, dialect="native").score(QUERY, TEXTS)
    assert server.requests == ["POST /rank"]


def test_a_tei_behind_its_full_path_still_tells_its_limit():
    server = Tei()
    server.limit = 2
    scorer(server, "http://h/rerank").score(QUERY, TEXTS)
    assert [len(body["texts"]) for body in server.bodies] == [2, 1]


class Guarded(Server):
    """Whatever is asked without a key is refused, the list of models too."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def answer(self, method, path, body):
        if self.headers.get("authorization") != "Bearer right":
            return httpx.Response(401, json={"message": "no"})
        return self.inner.answer(method, path, body)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_key_opens_every_server(kind):
    scores = scorer(Guarded(kind()), api_key="right").score(QUERY, TEXTS)
    assert scores[0] == max(scores)


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    ("key", "told"), [(None, "give the key as api_key="), ("wrong", "not accepted")]
)
def test_a_missing_or_wrong_key_is_told(kind, key, told):
    with pytest.raises(RemoteError, match=told) as caught:
        scorer(Guarded(kind()), api_key=key).score(QUERY, TEXTS)
    assert caught.value.status == 401
    assert "wrong" not in str(caught.value)


def test_the_key_of_the_environment_is_the_fallback(monkeypatch):
    monkeypatch.setenv("RAG_RERANKERS_API_KEY", "right")
    server = Guarded(Tei())
    assert scorer(server).score(QUERY, TEXTS)
    assert scorer(server, api_key="right").score(QUERY, TEXTS)
    with pytest.raises(RemoteError, match="not accepted"):
        scorer(server, api_key="wrong").score(QUERY, TEXTS)


class Fixed(Server):
    """The same answer to everything."""

    def __init__(self, *response, **content):
        super().__init__()
        self.response = response
        self.content = content

    def answer(self, method, path, body):
        return httpx.Response(*self.response, **self.content)


@pytest.mark.parametrize(
    ("server", "told", "status"),
    [
        (
            Fixed(404, json={"detail": "Not Found"}),
            r"speaks no dialect that is known .*Not Found",
            404,
        ),
        (Fixed(200, html="<h1>Welcome</h1>"), r"speaks no dialect .*<h1>Welcome", 200),
        (
            Fixed(424, json={"error": "model is not a re-ranker model"}),
            "not a re-ranker model",
            424,
        ),
        (Fixed(500, text="broken"), "speaks no dialect .*broken", 500),
        (Fixed(302, headers={"location": "https://login/x"}), "points to https://login/x", 302),
        (Fixed(503, text="loading"), "models answered 503: loading", 503),
    ],
)
def test_what_is_no_reranking_server_is_told(server, told, status):
    with pytest.raises(RemoteError, match=told) as caught:
        scorer(server).score(QUERY, TEXTS)
    assert caught.value.status == status


@pytest.mark.parametrize("limit", [None, 0, -1, "32", True, 2.5])
def test_a_limit_that_is_none_is_not_believed(limit):
    class Odd(Tei):
        def answer(self, method, path, body):
            response = super().answer(method, path, body)
            if path == "/info":
                return httpx.Response(
                    200, json=json.loads(response.text) | {"max_client_batch_size": limit}
                )
            return response

    server = Odd()
    assert len(scorer(server).score(QUERY, TEXTS * 20)) == 60
    assert {len(body.get("texts", [])) for body in server.bodies[-2:]} == {30}


@pytest.mark.parametrize(
    "models",
    [
        None,
        {},
        {"data": None},
        {"data": {"id": "x"}},
        {"data": ["x", 3]},
        {"data": [{"id": 3}]},
        [1],
    ],
)
def test_odd_lists_of_models_disturb_nobody(models):
    class Odd(Jina):
        def answer(self, method, path, body):
            if path.endswith("/models"):
                return httpx.Response(200, json=models)
            return super().answer(method, path, body)

    scores = scorer(Odd()).score(QUERY, TEXTS)
    assert scores[0] == max(scores)
