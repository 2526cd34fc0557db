from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_rerankers import RemoteError
from rag_rerankers.remote.answers import UnreadableError, excerpt, read_hits, refusal
from rag_rerankers.remote.dialects import Dialect
from rag_rerankers.remote.endpoint import parse_endpoint
from rag_rerankers.remote.messages import Reply, post

HERE = parse_endpoint("http://h", "s3cret")
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=50), st.randoms())
def test_any_order_of_hits_is_brought_back(scores, shuffle):
    hits = [{"index": i, "relevance_score": score} for i, score in enumerate(scores)]
    shuffle.shuffle(hits)
    body = json.dumps({"results": hits}).encode()
    answer = Dialect("cohere", "http://h/rerank").read(Reply(200, {}, body), len(scores), HERE)
    assert answer.scores == scores


@given(st.lists(finite, min_size=2, max_size=20), st.data())
def test_any_hit_that_is_missing_or_twice_is_an_error(scores, data):
    hits = [{"index": i, "score": score} for i, score in enumerate(scores)]
    victim = data.draw(st.integers(0, len(scores) - 1))
    with pytest.raises(
        ValueError, match=rf"1 of {len(scores)} texts have no score, at indices {victim}$"
    ):
        read_hits(hits[:victim] + hits[victim + 1 :], len(scores), "score")
    with pytest.raises(ValueError, match=f"index {victim} comes twice"):
        read_hits([*hits, hits[victim]], len(scores), "score")


GOOD = {"index": 0, "score": 1.0, "relevance": 0.5}


@pytest.mark.parametrize(
    ("hit", "told"),
    [
        (GOOD | {"index": 2}, "hit 0 has the index 2, but 2 texts were sent"),
        (GOOD | {"index": -1}, "has the index -1"),
        (GOOD | {"index": "0"}, "hit 0 has no index"),
        (GOOD | {"index": True}, "no index"),
        (GOOD | {"index": 0.0}, "no index"),
        (GOOD | {"index": None}, "no index"),
        ({"score": 1.0, "relevance": 0.5}, "no index"),
        ([0, 1.0], "no index"),
        ("0", "no index"),
        (None, "no index"),
        (GOOD | {"score": None}, "the score of index 0 is nothing"),
        ({"index": 0, "relevance": 0.5}, "the score of index 0 is nothing"),
        (GOOD | {"score": "0.9"}, "the score of index 0 is '0.9'"),
        (GOOD | {"score": True}, "the score of index 0 is True"),
        (GOOD | {"score": [1]}, "the score of index 0"),
        (GOOD | {"score": float("nan")}, "the score of index 0 is not a finite"),
        (GOOD | {"score": float("inf")}, "not a finite"),
        (GOOD | {"score": 10**400}, "not a finite"),
        (GOOD | {"relevance": 1.01}, "the relevance of index 0 is not in 0..1"),
        (GOOD | {"relevance": -0.01}, "not in 0..1"),
        (GOOD | {"relevance": None}, "the relevance of index 0 is nothing"),
    ],
)
def test_what_is_no_hit_is_an_error_that_says_what_came(hit, told):
    hits = [hit, {"index": 1, "score": 0.0, "relevance": 0.0}]
    reply = Reply(200, {}, json.dumps({"hits": hits}).encode())
    with pytest.raises(UnreadableError) as caught:
        Dialect("native", "http://h/rank").read(reply, 2, HERE)
    assert isinstance(caught.value, RemoteError)
    assert told in str(caught.value)
    assert '{"hits": [' in str(caught.value)
    assert (caught.value.url, caught.value.status) == ("http://h/rank", 200)


@pytest.mark.parametrize(
    "body",
    [b"", b"<!doctype html><title>Login</title>", b"null", b"[]", b"{}", b'"ok"', b"7",
     b'{"results": null}',
     b'{"results": {}}', b'{"results": []}', b"\xff\xfe", b"[" * 100_000, b'{"data": [[0.5]]}'],
)  # fmt: skip
@pytest.mark.parametrize("name", ["native", "cohere", "tei"])
def test_other_bodies_are_errors(name, body):
    with pytest.raises(UnreadableError, match="not with a ranking of 2 texts"):
        Dialect(name, "http://h/x").read(Reply(200, {}, body), 2, HERE)


def test_the_message_is_short_and_holds_no_secret():
    reply = Reply(200, {}, b"s3cret " + b"x" * 10_000)
    with pytest.raises(UnreadableError) as caught:
        Dialect("tei", "http://h/rerank").read(reply, 2, HERE)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_excerpt_is_one_line():
    assert excerpt(b"a\n\tb\r\n c", HERE) == "a b c"
    assert excerpt(b"", HERE) == "(nothing)"
    assert excerpt("ä".encode() * 300, HERE) == "ä" * 200 + "..."


@pytest.mark.parametrize("key", ["results", "data"])
def test_the_hits_may_be_called_results_or_data(key):
    body = {key: [{"index": 1, "relevance_score": 1}, {"index": 0, "relevance_score": 0.25}]}
    reply = Reply(200, {}, json.dumps(body).encode())
    answer = Dialect("cohere", "http://h/rerank").read(reply, 2, HERE)
    assert answer.scores == [0.25, 1.0]
    assert [type(score) for score in answer.scores] == [float, float]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [({"total_tokens": 5}, 5), ({}, 0), (None, 0), ({"total_tokens": None}, 0),
     ({"total_tokens": -1}, 0),
     ({"total_tokens": True}, 0), ([], 0)],
)  # fmt: skip
def test_tokens_are_counted_if_they_are_told(usage, tokens):
    body = {"results": [{"index": 0, "relevance_score": 1}], "usage": usage}
    answer = Dialect("cohere", "u").read(Reply(200, {}, json.dumps(body).encode()), 1, HERE)
    assert answer.tokens == tokens


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (401, {}, "the key that was given is not accepted"),
        (403, {}, "the key that was given is not accepted"),
        (
            302,
            {"location": "http://me:pw@evil/x?y=z"},
            "points to http://evil/x: redirects are not followed",
        ),
        (307, {"location": "/rerank/?a=b"}, "points to /rerank/: "),
        (308, {}, "points to elsewhere"),
        (400, {}, "answered 400: body"),
    ],
)
def test_a_refusal_says_what_to_do(status, headers, told):
    error = refusal(Reply(status, headers, b"body"), "http://h/rerank", HERE)
    assert told in str(error)
    assert error.status == status
    assert "pw" not in str(error)


def test_without_a_key_a_refusal_says_how_to_give_one():
    error = refusal(Reply(401, {}, b""), "http://h", parse_endpoint("http://h"))
    assert "give the key as api_key= or in RAG_RERANKERS_API_KEY" in str(error)


def test_half_surrogates_are_sent_as_something_that_utf_8_has():
    request = post("u", {"query": "\ud83d", "texts": ["\ud83d\udc3c", "ä", "\udc00x"]})
    assert json.loads(request.body.decode()) == {"query": "\ufffd", "texts": ["🐼", "ä", "\ufffdx"]}


def test_bodies_hold_what_each_dialect_wants():
    def body(name, **settings):
        sent = Dialect(name, "u", "m", **settings).request("q", ("a", "b")).body
        return json.loads(sent)

    assert body("native") == {"query": "q", "texts": ["a", "b"], "model": "m"}
    assert body("cohere") == {"query": "q", "documents": ["a", "b"], "top_n": 2, "model": "m"}
    assert body("tei", more={"raw_scores": True}) == {
        "query": "q",
        "texts": ["a", "b"],
        "raw_scores": True,
    }


def test_a_random_permutation_of_a_bare_list_is_read():
    hits = [{"index": i, "score": i / 7 - 3} for i in range(40)]
    random.Random(3).shuffle(hits)
    assert read_hits(hits, 40, "score") == ([i / 7 - 3 for i in range(40)], None)
