from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag_rerankers.once import OncePerKey


def _held(value: str) -> tuple[Callable[[], str], threading.Event, threading.Event]:
    """A making that says when it has begun, and goes on when it is told to."""
    begun, go = threading.Event(), threading.Event()

    def make() -> str:
        begun.set()
        assert go.wait(30)
        return value

    return make, begun, go


def test_threads_that_ask_for_one_key_wait_for_one_making():
    made: list[int] = []
    together = threading.Barrier(8)
    values: OncePerKey[str, object] = OncePerKey()

    def make() -> object:
        made.append(1)
        time.sleep(0.05)  # long enough for the others to come in
        return object()

    def ask(_: int) -> object:
        together.wait(10)
        return values.get("key", make)

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(ask, range(8)))
    assert len(made) == 1
    assert len(set(map(id, got))) == 1


def test_another_key_is_made_beside():
    values: OncePerKey[str, str] = OncePerKey()
    slow, begun, go = _held("slow")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(values.get, "a", slow)
        assert begun.wait(10)
        assert values.get("b", lambda: "quick") == "quick"
        go.set()
        assert first.result(10) == "slow"


def test_a_making_that_fails_is_tried_again():
    values: OncePerKey[str, int] = OncePerKey()
    with pytest.raises(ZeroDivisionError):
        values.get("key", lambda: 1 // 0)
    assert values.get("key", lambda: 2) == 2


def test_what_is_forgotten_is_made_again():
    values: OncePerKey[str, int] = OncePerKey()
    assert values.get("key", lambda: 1) == 1
    values.clear()
    assert values.get("key", lambda: 2) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_wait_for_a_thread_of_its_parent():
    values: OncePerKey[str, str] = OncePerKey()
    slow, begun, go = _held("parent")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(values.get, "key", slow)
        assert begun.wait(10)
        child = os.fork()
        if not child:
            thread = threading.Thread(target=values.get, args=("key", lambda: "c"), daemon=True)
            thread.start()
            thread.join(10)
            os._exit(thread.is_alive())
        _, status = os.waitpid(child, 0)
        go.set()
        assert first.result(10) == "parent"
    assert os.waitstatus_to_exitcode(status) == 0
