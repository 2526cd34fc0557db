from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.remote.asking import LOGITS, QUERY, TEXTS, both, score, scorer
from tests.remote.servers import SERVERS, Jina, Native, Tei

from rag_rerankers import (
    CircuitOpenError,
    RemoteError,
    RemoteScorer,
)


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


@both
@pytest.mark.parametrize("status", [400, 404, 405, 422, 501])
async def test_a_refusal_is_raised_when_asking_anew_finds_nothing_either(way, status):
    class Closing(Jina):
        closed = False

        def answer(self, method, path, body):
            if self.closed:
                return httpx.Response(503)
            if body is not None and "bad" in body["documents"]:
                self.closed = True
                return httpx.Response(status, json={"detail": "bad document"})
            return super().answer(method, path, body)

    server = Closing()
    remote = scorer(server)
    await score(remote, way, QUERY, TEXTS)
    before = len(server.requests)
    with pytest.raises(RemoteError, match="bad document") as caught:
        await score(remote, way, QUERY, ["bad"])
    assert caught.value.status == status
    assert len(server.requests) - before > 1  # it was looked into


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
