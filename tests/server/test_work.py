from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("fastapi")
from starlette.requests import Request
from tests.server.apps import Held

from rag_rerankers.cancellation import check_cancelled
from rag_rerankers.metering import count
from rag_rerankers.server.problems import Problem
from rag_rerankers.server.work import ClientGoneError, Done, do


def waiting(gone: asyncio.Event | None = None) -> Request:
    """A request whose client waits until it is gone."""

    async def receive():
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": []}, receive)


async def test_work_is_measured():
    def work():
        count(tokens=7, cut=1)
        return "done"

    assert await do(work, waiting(), model="a", seconds=20) == ("done", Done(tokens=7, cut=1))


async def test_what_work_raises_comes_through():
    def work():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await do(work, waiting(), model="a", seconds=20)


async def test_the_deadline_stops_the_work():
    held = Held()
    with pytest.raises(Problem) as caught:
        await do(lambda: held.score("a", ["a"]), waiting(), model="a", seconds=0.05)
    assert (caught.value.status, caught.value.headers) == (504, {})
    assert "the answer was not ready within 0.05 s" in caught.value.message
    await held.given_up()


async def test_a_client_that_hangs_up_stops_the_work():
    held, gone = Held(), asyncio.Event()
    working = asyncio.create_task(
        do(lambda: held.score("a", ["a"]), waiting(gone), model="a", seconds=20)
    )
    await held.at_work()
    assert not held.stopped.is_set()
    gone.set()
    with pytest.raises(ClientGoneError):
        await working
    await held.given_up()


async def test_a_server_that_ends_stops_the_work():
    held = Held()
    working = asyncio.create_task(
        do(lambda: held.score("a", ["a"]), waiting(), model="a", seconds=20)
    )
    await held.at_work()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await held.given_up()


async def test_each_model_has_threads_of_its_own():
    # As many as there are threads wait for a slow model; the other one answers nevertheless.
    held = Held()
    slow = [
        asyncio.create_task(do(lambda: held.score("a", ["a"]), waiting(), model="slow", seconds=20))
        for _ in range(40)
    ]
    await held.at_work(32)
    assert (await do(lambda: "quick", waiting(), model="quick", seconds=20))[0] == "quick"
    assert not any(task.done() for task in slow)
    held.go.set()
    for result, _ in await asyncio.gather(*slow):
        assert result == [1.0]


async def test_work_that_has_not_begun_never_does():
    held, ran = Held(), []
    slow = [
        asyncio.create_task(do(lambda: held.score("a", ["a"]), waiting(), model="b", seconds=20))
        for _ in range(32)
    ]
    await held.at_work(32)
    with pytest.raises(Problem):
        await do(lambda: ran.append(1), waiting(), model="b", seconds=0.01)
    held.go.set()
    await asyncio.gather(*slow)
    # Behind it in the queue.
    await do(check_cancelled, waiting(), model="b", seconds=20)
    assert ran == []
