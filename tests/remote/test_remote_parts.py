from __future__ import annotations

import asyncio
import random
import threading

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.remote.asking import QUERY, both, score, scorer, sigmoid
from tests.remote.servers import Jina, Server, Tei, logit

from rag_rerankers import (
    RemoteError,
    RemoteScorer,
)


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
