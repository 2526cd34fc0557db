"""What only real sockets show: pools, hang-ups, resets, forks, event loops."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.remote import loopback as behaviour
from tests.remote.loopback import loopback

from rag_rerankers import RemoteError, RemoteScorer, RemoteTimeoutError, Reranker

pytestmark = pytest.mark.usefixtures("socket_enabled")

TEXTS = ["a", "ccc", "bb"]
SCORES = [1.0, 3.0, 2.0]


def scorer(loop, **settings):
    return RemoteScorer(loop.url, **{"dialect": "native", "backoff": 0.0, **settings})


async def score(remote, way):
    return remote.score("q", TEXTS) if way == "score" else await remote.ascore("q", TEXTS)


both = pytest.mark.parametrize("way", ["score", "ascore"])


def good(loop, handler):
    behaviour.answer(handler)


@both
async def test_calls_share_a_connection(way):
    with loopback(good) as loop:
        async with scorer(loop) as remote:
            for _ in range(5):
                assert await score(remote, way) == SCORES
        assert (loop.requests, loop.connections) == (5, 1)


def test_threads_share_a_pool():
    with loopback(good) as loop, scorer(loop) as remote, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: list(remote.score("q", TEXTS)), range(40))) == [SCORES] * 40
        assert loop.connections <= 4


@both
async def test_a_connection_that_is_reset_is_tried_again(way):
    def once(loop, handler):
        if loop.requests == 1:
            behaviour.reset(handler)
        else:
            behaviour.answer(handler)

    with loopback(once) as loop:
        assert await score(scorer(loop), way) == SCORES
        assert loop.requests == 2


@both
async def test_a_server_that_closes_kept_connections_is_no_failure(way):
    def close_after(loop, handler):
        behaviour.answer(handler)
        behaviour.reset(handler)

    with loopback(close_after) as loop:
        remote = scorer(loop)
        for _ in range(3):
            assert await score(remote, way) == SCORES


@both
async def test_nobody_at_the_port(way):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    remote = RemoteScorer(f"http://127.0.0.1:{port}", backoff=0.0)
    with pytest.raises(RemoteError, match=r"cannot be reached: .*\(4 tries\)") as caught:
        await score(remote, way)
    assert caught.value.status is None


@both
@pytest.mark.parametrize("behave", [behaviour.hang, behaviour.stall])
async def test_the_deadline_holds_whatever_the_server_does(way, behave):
    with loopback(behave) as loop:
        with pytest.raises(RemoteTimeoutError, match=r"no scores within 0.3 seconds"):
            await score(scorer(loop, timeout=0.3), way)
        assert loop.gone.wait(30)


async def test_a_cancelled_task_hangs_up():
    with loopback(behaviour.hang) as loop:
        reranker = Reranker(scorer(loop))
        task = asyncio.create_task(reranker.arank("q", TEXTS))
        assert await asyncio.to_thread(loop.asked.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(loop.gone.wait, 30)


async def test_of_several_parts_all_hang_up():
    with loopback(behaviour.hang) as loop:
        task = asyncio.create_task(scorer(loop, max_texts=1).ascore("q", TEXTS))
        while loop.requests < 3:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert others == set()


@pytest.mark.filterwarnings("error")
def test_event_loops_that_end_close_their_connections():
    with loopback(good) as loop:
        remote = scorer(loop)
        for _ in range(3):
            assert asyncio.run(remote.ascore("q", TEXTS)) == SCORES
            gc.collect()
        assert loop.connections == 3
        assert remote.score("q", TEXTS) == SCORES


def test_loops_in_threads_each_have_their_own():
    with loopback(good) as loop:
        remote = scorer(loop)

        async def several():
            return await asyncio.gather(*(remote.ascore("q", TEXTS) for _ in range(5)))

        with ThreadPoolExecutor(3) as pool:
            for found in pool.map(lambda _: asyncio.run(several()), range(6)):
                assert found == [SCORES] * 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_has_connections_of_its_own():
    with loopback(good) as loop:
        remote = scorer(loop, max_texts=1)  # threads, too
        assert remote.score("q", TEXTS) == SCORES
        asyncio.run(remote.ascore("q", TEXTS))
        before = loop.connections
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads are running
            child = os.fork()
        if child == 0:
            status = 1
            try:
                right = remote.score("q", TEXTS) == SCORES
                right = right and asyncio.run(remote.ascore("q", TEXTS)) == SCORES
                status = 0 if right else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert loop.connections > before
        n_connections = loop.connections
        assert remote.score("q", TEXTS) == SCORES
        assert loop.connections == n_connections
