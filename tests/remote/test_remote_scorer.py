from __future__ import annotations

import asyncio
import json
import math
import pickle
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.remote.servers import SERVERS, Infinity, Jina, LlamaCpp, Native, Server, Tei, Vllm, logit

from rag_rerankers import (
    AsyncScorer,
    CalibratedScorer,
    CalibratedScores,
    CircuitOpenError,
    MissingExtraError,
    RemoteError,
    RemoteScorer,
    RemoteTimeoutError,
    Reranker,
)
from rag_rerankers.metering import metered

QUERY = "what is a panda"
TEXTS = ["rust", "a panda is a bear", "what is it", "paris " * 9]
LOGITS = [logit(QUERY, text) for text in TEXTS]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def scorer(server, url="http://h", **settings):
    return RemoteScorer(
        url, transport=server.transport, **{"retries": 0, "backoff": 0.0, **settings}
    )


async def score(remote, way, *args):
    return remote.score(*args) if way == "score" else await remote.ascore(*args)


both = pytest.mark.parametrize("way", ["score", "ascore"])


# --- scores and relevance ---


def test_it_is_a_scorer_of_three_kinds():
    remote = RemoteScorer("http://h")
    assert isinstance(remote, AsyncScorer)
    assert isinstance(remote, CalibratedScorer)


@both
@pytest.mark.parametrize(
    ("kind", "scores", "relevance"),
    [
        (Native, LOGITS, [(value + 10) / 20 for value in LOGITS]),
        (Tei, LOGITS, [sigmoid(value) for value in LOGITS]),
        (Infinity, LOGITS, [sigmoid(value) for value in LOGITS]),
        (LlamaCpp, LOGITS, [sigmoid(value) for value in LOGITS]),
        # These give relevance; a second sigmoid would press it together.
        (Vllm, [sigmoid(value) for value in LOGITS], [sigmoid(value) for value in LOGITS]),
        (Jina, [sigmoid(value) for value in LOGITS], [sigmoid(value) for value in LOGITS]),
    ],
)
async def test_scores_are_the_servers_and_relevance_is_no_second_sigmoid(
    way, kind, scores, relevance
):
    found = await score(scorer(kind()), way, QUERY, TEXTS)
    assert found == pytest.approx(scores)
    assert isinstance(found, CalibratedScores)
    assert found.relevance == pytest.approx(relevance)


@both
async def test_hits_have_the_servers_own_relevance(way):
    reranker = Reranker(scorer(Native()))
    rank = reranker.rank if way == "score" else None
    hits = rank(QUERY, TEXTS) if rank else await reranker.arank(QUERY, TEXTS)
    assert [hit.index for hit in hits] == [1, 2, 0, 3]
    for hit in hits:
        assert hit.score == pytest.approx(LOGITS[hit.index])
        assert hit.relevance == pytest.approx((LOGITS[hit.index] + 10) / 20)
    kept = reranker.rank(QUERY, TEXTS, threshold=(LOGITS[2] + 10) / 20)
    assert [hit.index for hit in kept] == [1, 2]


def test_logits_that_happen_to_lie_in_0_to_1_stay_logits():
    remote = scorer(LlamaCpp(lambda query, text: 0.5 if text == "half" else logit(query, text)))
    assert remote.score(QUERY, ["half"]).relevance == pytest.approx([sigmoid(0.5)])


def test_a_server_whose_first_numbers_look_like_relevance_is_understood_later():
    remote = scorer(LlamaCpp(lambda query, text: float(text) if text[-1].isdigit() else 0.5))
    assert remote.score("q", ["0.25"]).relevance == [0.25]
    assert remote.score("q", ["0.25", "4"]).relevance == pytest.approx([sigmoid(0.25), sigmoid(4)])
    assert remote.score("q", ["0.25"]).relevance == pytest.approx([sigmoid(0.25)])


def test_probabilities_that_were_rounded_stay_in_0_to_1():
    remote = scorer(LlamaCpp(lambda query, text: 1.0000001 if "panda" in text else 0.0))
    found = remote.score("q", ["panda", "rust"])
    assert (list(found), found.relevance) == ([1.0000001, 0.0], [1.0, 0.0])


def test_relevance_of_plain_numbers_learns_nothing_from_them():
    remote = scorer(Jina())
    remote.score(QUERY, TEXTS)
    assert remote.relevance(QUERY, [-1e9, 0.25, 1e9]) == [0.0, 0.25, 1.0]
    assert remote.score(QUERY, ["a panda is"]).relevance == pytest.approx(
        [sigmoid(logit(QUERY, "a panda is"))]
    )


def test_relevance_takes_what_score_returned():
    remote = scorer(Native())
    found = remote.score(QUERY, TEXTS)
    assert remote.relevance(QUERY, found) == found.relevance


@both
async def test_no_texts_ask_nobody(way):
    server = Native()
    found = await score(scorer(server), way, QUERY, [])
    assert (found, found.relevance, server.requests) == ([], [], [])


@both
async def test_tokens_are_counted_in_the_block_that_waits(way):
    with metered() as meter:
        await score(scorer(Native(), max_texts=2), way, QUERY, TEXTS)
    assert meter.tokens == 14


# --- parts ---


class Numbers(Server):
    """Scores a text by the number that it is, in an order of its own, and in any dialect."""

    def __init__(self, limit, seed):
        super().__init__()
        self.limit = limit
        self.seed = seed

    def answer(self, method, path, body):
        if path == "/info":
            return httpx.Response(200, json={"max_client_batch_size": self.limit})
        if path != "/rerank" or "texts" not in body:
            return httpx.Response(404)
        assert len(body["texts"]) <= self.limit
        hits = [{"index": i, "score": float(text)} for i, text in enumerate(body["texts"])]
        random.Random(f"{self.seed} {body['texts']}").shuffle(hits)
        return httpx.Response(200, json=hits)


@given(n_texts=st.integers(1, 80), limit=st.integers(1, 40), seed=st.integers(0, 99))
def test_any_split_and_any_order_give_each_text_its_own_score(n_texts, limit, seed):
    texts = [str(number * 37 % 101) for number in range(n_texts)]
    server = Numbers(limit, seed)
    remote = scorer(server)
    assert remote.score("q", texts) == [float(text) for text in texts]
    assert len(server.bodies) == -(-n_texts // limit)
    remote.close()


@given(n_texts=st.integers(1, 80), limit=st.integers(1, 40), seed=st.integers(0, 99))
def test_so_it_is_for_asyncio(n_texts, limit, seed):
    texts = [str(number * 37 % 101) for number in range(n_texts)]

    async def run():
        async with scorer(Numbers(limit, seed)) as remote:
            return await remote.ascore("q", texts)

    assert asyncio.run(run()) == [float(text) for text in texts]


@both
async def test_tei_gets_32_texts_at_most(way):
    server = Tei()
    texts = [f"panda {number}" for number in range(100)]
    found = await score(scorer(server), way, QUERY, texts)
    assert found == pytest.approx([logit(QUERY, text) for text in texts])
    assert sorted(len(body["texts"]) for body in server.bodies) == [25, 25, 25, 25]


class Small(Jina):
    """Takes so many characters, and says 413 to more."""

    paths = ("/rerank",)

    def __init__(self, most):
        super().__init__()
        self.most = most
        self.sizes = []

    def answer(self, method, path, body):
        documents = (body or {}).get("documents", [])
        if path == "/rerank" and sum(map(len, documents)) > self.most:
            return httpx.Response(413, json={"message": "too large"})
        self.sizes.append(len(documents))
        return super().answer(method, path, body)


@both
async def test_413_halves_the_request_and_is_remembered(way):
    server = Small(most=200)
    remote = scorer(server)
    texts = [
        "panda " * 10 + str(number) for number in range(16)
    ]  # 61 characters, three of them fit
    found = await score(remote, way, QUERY, texts)
    assert found == pytest.approx([sigmoid(logit(QUERY, text)) for text in texts])
    n_bodies = len(server.bodies)
    await score(remote, way, QUERY, texts)
    assert len(server.bodies) == n_bodies + 8


@both
async def test_one_text_that_is_too_large_is_an_error_and_no_lesson(way):
    server = Small(most=200)
    remote = scorer(server)
    await score(remote, way, QUERY, ["a"] * 8)
    with pytest.raises(RemoteError, match="too large") as caught:
        await score(remote, way, QUERY, ["a", "b", "x" * 500, "c"])
    assert caught.value.status == 413
    n_bodies = len(server.bodies)
    await score(remote, way, QUERY, ["a"] * 8)
    assert len(server.bodies) == n_bodies + 1


@both
async def test_parts_go_out_together_but_not_too_many(way):
    running, most, lock = 0, 0, threading.Lock()
    four = threading.Barrier(4)

    class Counting(Tei):
        limit = 1

        def answer(self, method, path, body):
            nonlocal running, most
            if method == "GET":
                return super().answer(method, path, body)
            with lock:
                running += 1
                most = max(most, running)
            if way == "score":
                four.wait(timeout=30)  # ends only if four come together
            with lock:
                running -= 1
            return super().answer(method, path, body)

    server = Counting()

    async def answer(request):
        nonlocal running, most
        if request.method == "GET":
            return server(request)
        running += 1
        most = max(most, running)
        while most < 4:
            await asyncio.sleep(0)
        running -= 1
        return server(request)

    transport = server.transport if way == "score" else httpx.MockTransport(answer)
    remote = RemoteScorer("http://h", transport=transport)
    texts = [f"panda {number}" for number in range(12)]
    assert await score(remote, way, QUERY, texts) == pytest.approx([logit(QUERY, t) for t in texts])
    assert most == 4


@both
async def test_one_part_that_fails_fails_the_call(way):
    class Half(Tei):
        limit = 2

        def answer(self, method, path, body):
            if body is not None and "bad" in body["texts"]:
                return httpx.Response(
                    424, json={"error": "Inference failed", "error_type": "backend"}
                )
            return super().answer(method, path, body)

    with pytest.raises(RemoteError, match="Inference failed") as caught:
        await score(scorer(Half()), way, QUERY, ["a", "b", "bad", "c", "d", "e"])
    assert caught.value.status == 424


# --- other servers at the same place ---


@both
@pytest.mark.parametrize("after", SERVERS)
@pytest.mark.parametrize("before", SERVERS)
async def test_a_server_that_was_exchanged_is_found_out_anew(way, before, after):
    server = before()
    remote = RemoteScorer(
        "http://h", transport=httpx.MockTransport(lambda request: server(request))
    )
    await score(remote, way, QUERY, TEXTS)
    server = after()
    found = await score(remote, way, QUERY, TEXTS)
    # Logits or not: an exchange within one dialect changes no shape, and is not noticed.
    order = sorted(range(len(TEXTS)), key=LOGITS.__getitem__)
    assert sorted(range(len(TEXTS)), key=found.__getitem__) == order
    assert remote.dialect == {Native: "native", Tei: "tei"}.get(after, "cohere")


@both
async def test_a_refusal_that_stays_is_raised_as_it_is_and_not_looked_into_all_the_time(way):
    class Picky(Jina):
        def answer(self, method, path, body):
            if body is not None and "bad" in body["documents"]:
                return httpx.Response(400, json={"detail": "bad document"})
            return super().answer(method, path, body)

    server = Picky()
    remote = scorer(server)
    await score(remote, way, QUERY, TEXTS)
    counts = []
    for _ in range(3):
        before = len(server.requests)
        with pytest.raises(RemoteError, match="bad document") as caught:
            await score(remote, way, QUERY, ["bad"])
        assert caught.value.status == 400
        counts.append(len(server.requests) - before)
    assert counts[0] > 1
    assert counts[1:] == [1, 1]


# --- failures ---


class Failing(Tei):
    """Answers so many requests with a status, then as it should."""

    def __init__(self, status, times, **headers):
        super().__init__()
        self.status = status
        self.times = times
        self.extra = headers

    def answer(self, method, path, body):
        if method == "POST" and self.times:
            self.times -= 1
            return httpx.Response(self.status, json={"error": "overloaded"}, headers=self.extra)
        return super().answer(method, path, body)


@both
@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_passes_is_asked_again(way, status):
    server = Failing(status, 2)
    assert await score(scorer(server, retries=2), way, QUERY, TEXTS) == pytest.approx(LOGITS)


@both
async def test_connections_that_break_are_tried_again(way):
    left = [
        httpx.ReadError("reset by peer"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("gone"),
    ]
    server = Tei()

    def answer(request):
        if left:
            raise left.pop()
        return server(request)

    remote = RemoteScorer("http://h", transport=httpx.MockTransport(answer), backoff=0.0)
    assert await score(remote, way, QUERY, TEXTS) == pytest.approx(LOGITS)


@both
async def test_a_request_tells_how_much_time_is_left(way):
    server = Native()
    await score(scorer(server, timeout=7.5), way, QUERY, TEXTS)
    assert 6.5 < float(server.headers["x-request-timeout"]) <= 7.5


@both
async def test_a_retry_after_that_is_too_long_fails_at_once(way):
    server = Failing(503, 1, **{"retry-after": "3600"})
    with pytest.raises(RemoteError, match="come again in 3600 seconds"):
        await score(scorer(server, retries=3), way, QUERY, TEXTS)


@both
@pytest.mark.parametrize("declared", [True, False])
async def test_an_answer_without_end_is_not_read(way, declared):
    class Huge(Native):
        def answer(self, method, path, body):
            if method == "GET":
                return super().answer(method, path, body)
            if declared:
                return httpx.Response(200, headers={"content-length": str(10**12)}, stream=Stream())
            return httpx.Response(200, stream=Stream())

    class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self):
            while True:
                yield b" " * 2**20

        async def __aiter__(self):
            while True:
                yield b" " * 2**20

    with pytest.raises(RemoteError, match="far more than scores need"):
        await score(scorer(Huge()), way, QUERY, TEXTS)


@both
async def test_after_failures_in_a_row_the_server_is_left_alone(way):
    server = Failing(500, 10**6)
    remote = scorer(server, breaker_failures=3)
    for _ in range(3):
        with pytest.raises(RemoteError, match="overloaded"):
            await score(remote, way, QUERY, TEXTS)
    n_requests = len(server.requests)
    with pytest.raises(
        CircuitOpenError, match=r"failed 3 times in a row .* in \d+\.\d seconds.*overloaded"
    ):
        await score(remote, way, QUERY, TEXTS)
    assert len(server.requests) == n_requests
    server.times = 0
    remote._breaker.cooldown = 0.0
    assert await score(remote, way, QUERY, TEXTS) == pytest.approx(LOGITS)


@both
async def test_refusals_do_not_open_the_circuit(way):
    remote = scorer(Failing(424, 10**6), breaker_failures=2)
    for _ in range(5):
        with pytest.raises(RemoteError, match="overloaded") as caught:
            await score(remote, way, QUERY, TEXTS)
        assert not isinstance(caught.value, CircuitOpenError)


async def test_a_cancelled_trial_leaves_the_next_call_to_try():
    server = Failing(500, 1)
    remote = scorer(server, breaker_failures=1, breaker_seconds=0.0)
    with pytest.raises(RemoteError):
        await remote.ascore(QUERY, TEXTS)
    began = asyncio.Event()

    async def hang(request):
        began.set()
        await asyncio.Event().wait()

    real = remote._clients._transport
    remote._clients.close()
    remote._clients._transport = httpx.MockTransport(hang)
    task = asyncio.create_task(remote.ascore(QUERY, TEXTS))
    await began.wait()
    with pytest.raises(CircuitOpenError, match="when another call has tried"):
        await remote.ascore(QUERY, TEXTS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    remote._clients.close()
    remote._clients._transport = real
    assert await remote.ascore(QUERY, TEXTS) == pytest.approx(LOGITS)


@both
async def test_an_error_names_neither_user_nor_key(way):
    def answer(request):
        told = request.headers["authorization"]
        return httpx.Response(400, text=f"you sent {told} and hunter2")

    for url, key in (("http://me:hunter2@h", None), ("http://h", "hunter2")):
        remote = RemoteScorer(url, api_key=key, transport=httpx.MockTransport(answer))
        assert "hunter2" not in repr(remote)
        assert "me" not in repr(remote)
        with pytest.raises(RemoteError) as caught:
            await score(remote, way, QUERY, TEXTS)
        assert "hunter2" not in str(caught.value)
        assert "bWU6aHVudGVyMg" not in str(caught.value)
        assert "me:" not in f"{caught.value}{caught.value.url}"


# --- sharing ---


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


# --- arguments ---


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
