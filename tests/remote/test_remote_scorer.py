from __future__ import annotations

import asyncio
import json
import math
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.remote.asking import LOGITS, QUERY, TEXTS, scorer, sigmoid
from tests.remote.servers import SERVERS, Tei, logit

from rag_rerankers import (
    MissingExtraError,
    RemoteScorer,
    RemoteTimeoutError,
    Reranker,
)


@pytest.mark.parametrize("kind", SERVERS)
def test_threads_find_the_server_out_once_and_get_their_own_scores(kind):
    server = kind()
    remote = scorer(server)
    together = threading.Barrier(8)

    def work(number):
        together.wait(timeout=30)
        texts = [f"panda {number} {i}" for i in range(5)]
        return remote.score(QUERY, texts), [logit(QUERY, text) for text in texts]

    with ThreadPoolExecutor(8) as pool:
        for found, logits in pool.map(work, range(8)):
            assert list(found) == pytest.approx(logits) or list(found) == pytest.approx(
                [sigmoid(value) for value in logits]
            )
    posts = [request for request in server.requests if request.startswith("POST")]
    alone = kind()
    scorer(alone).score(QUERY, TEXTS)
    assert len(posts) == 7 + sum(request.startswith("POST") for request in alone.requests)


async def test_tasks_find_the_server_out_once():
    server = Tei()
    remote = scorer(server)
    found = await asyncio.gather(*(remote.ascore(QUERY, [f"panda {i}"]) for i in range(20)))
    assert [scores[0] for scores in found] == pytest.approx(
        [logit(QUERY, f"panda {i}") for i in range(20)]
    )
    assert server.requests.count("GET /info") == 1


def test_event_loops_one_after_another_leave_nothing_behind():
    remote = scorer(Tei())
    for _ in range(5):
        assert asyncio.run(remote.ascore(QUERY, TEXTS)) == pytest.approx(LOGITS)
    assert len(remote._clients._loops) <= 1


def test_a_pickled_copy_has_all_settings_and_connects_anew():
    remote = RemoteScorer("http://me:pw@h#m", dialect="tei", timeout=3, max_texts=5, retries=1)
    copy = pickle.loads(pickle.dumps(remote))
    assert repr(copy) == repr(remote) == "RemoteScorer('http://h', model='m')"
    assert copy._headers == remote._headers
    assert (copy.timeout, copy._max_texts, copy._wanted) == (3.0, 5, "tei")


def test_a_closed_scorer_opens_again():
    with scorer(Tei()) as remote:
        remote.score(QUERY, TEXTS)
    assert remote.score(QUERY, TEXTS) == pytest.approx(LOGITS)
    remote.close()
    remote.close()


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"url": 7}, TypeError, "url must be a string"),
        ({"url": "ftp://h"}, ValueError, "not the URL of a server"),
        ({"dialect": "openai"}, ValueError, "one of auto, native, cohere, tei, not 'openai'"),
        ({"timeout": 0}, ValueError, "timeout must be above 0"),
        ({"timeout": math.inf}, ValueError, "finite"),
        ({"timeout": "5"}, TypeError, "'5'"),
        ({"timeout": True}, TypeError, "True"),
        ({"max_texts": 0}, ValueError, "max_texts must be at least 1"),
        ({"max_texts": 2.0}, TypeError, "max_texts must be an int"),
        ({"parallel": 0}, ValueError, "parallel must be at least 1"),
        ({"retries": -1}, ValueError, "retries must be at least 0"),
        ({"retries": True}, TypeError, "retries must be an int"),
        ({"breaker_failures": None}, TypeError, "breaker_failures must be an int"),
        ({"api_key": 7}, TypeError, "api_key must be a string"),
        ({"url": "http://h#a", "model": "b"}, ValueError, "the URL names 'a'"),
    ],
)
def test_bad_arguments_are_refused(settings, error, told):
    with pytest.raises(error) as caught:
        RemoteScorer(**{"url": "http://h", **settings})
    assert told in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", "a\nb", "schlüssel", "a\x00"])
def test_a_key_that_no_header_holds_is_refused_unseen(key):
    with pytest.raises(ValueError, match="api_key is empty, or has a line break") as caught:
        RemoteScorer("http://h", api_key=key)
    assert not key.strip() or key not in str(caught.value)


def test_a_reranker_takes_a_url_and_asks_nobody_yet():
    reranker = Reranker("http://me:pw@h:8080#m", timeout=5, api_key=None)
    assert repr(reranker) == "Reranker('http://h:8080#m')"
    assert isinstance(reranker.scorer, RemoteScorer)
    assert (reranker.scorer.url, reranker.scorer.model, reranker.scorer.timeout) == (
        "http://h:8080",
        "m",
        5.0,
    )
    copy = pickle.loads(pickle.dumps(reranker))
    assert copy.scorer._headers == reranker.scorer._headers


@pytest.mark.parametrize(
    "options",
    [{"device": "cpu"}, {"dtype": "float32"}, {"max_length": 5}, {"revision": "x"}, {"store": "t"},
     {"long_documents": "max_passage"}, {"batch_tokens": 5}, {"local_files_only": True}],
)  # fmt: skip
def test_a_url_refuses_what_the_server_decides(options):
    (name,) = options
    with pytest.raises(
        ValueError, match=rf"{name} cannot be set for the server http://h: .* is started"
    ):
        Reranker("http://me:pw@h", **options)


@pytest.mark.parametrize("options", [{"timeout": 5}, {"api_key": "k3y"}])
def test_a_local_model_refuses_what_only_a_server_takes(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} is for the URL of a server") as caught:
        Reranker("minilm-maxsim", **options)
    assert "k3y" not in str(caught.value)


def test_the_answer_body_of_every_shape_is_json_that_we_can_send_back():
    # The stand-ins must be as strict as the servers: what they answer is JSON without NaN.
    for kind in SERVERS:
        server = kind()
        scorer(server).score(QUERY, TEXTS)
        for body in server.bodies:
            json.dumps(body, allow_nan=False)


def test_late_errors_are_timeouts_too():
    assert issubclass(RemoteTimeoutError, TimeoutError)


@pytest.mark.parametrize("absent", ["httpx", "anyio"])
def test_without_httpx_the_extra_is_named(monkeypatch, absent):
    for module in [name for name in sys.modules if name.startswith("rag_rerankers.remote.")]:
        if module.endswith((".clients", ".driving")):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtraError, match=r"the server http://h needs the extra 'remote'"):
        Reranker("http://me:pw@h")
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert '\nremote = ["httpx' in project
