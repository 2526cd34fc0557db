from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag_rerankers import (
    ModelLoadError,
    ModelOptions,
    Reranker,
    ashared_reranker,
    clear_shared_rerankers,
    shared_reranker,
    sharing,
)

pytestmark = pytest.mark.usefixtures("nothing_shared")


class Loads:
    """Takes the place of Reranker where models are loaded, and counts."""

    def __init__(self, failures: int = 0) -> None:
        self.made: list[tuple[str, dict]] = []
        self.failures = failures
        self.under_way = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, model, **options):
        self.made.append((str(model), options))
        self.under_way.set()
        assert self.may_end.wait(10)
        time.sleep(0.02)
        if len(self.made) <= self.failures:
            raise ModelLoadError("not now")
        return object()


@pytest.fixture
def loads(monkeypatch):
    counted = Loads()
    monkeypatch.setattr(sharing, "Reranker", counted)
    return counted


def test_the_same_model_and_options_are_loaded_once(loads):
    one = shared_reranker("a", ModelOptions(device="cpu"))
    assert shared_reranker("a", ModelOptions(device="cpu")) is one
    assert [name for name, _ in loads.made] == ["a"]
    assert loads.made[0][1]["device"] == "cpu"


def test_no_options_are_the_default_options(loads):
    assert shared_reranker("a") is shared_reranker("a", ModelOptions())


def test_a_path_and_its_string_are_the_same_model(loads, tmp_path):
    assert shared_reranker(tmp_path) is shared_reranker(str(tmp_path))


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("b", ModelOptions()),
        ("a", ModelOptions(max_length=64)),
        ("a", ModelOptions(dtype="float32")),
    ],
)
def test_another_model_or_another_option_is_another_reranker(loads, model, options):
    assert shared_reranker("a") is not shared_reranker(model, options)


def test_threads_that_ask_at_once_wait_for_one_load(loads):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: shared_reranker("a"), range(32)))
    assert len(found) == 1
    assert len(loads.made) == 1


def test_a_slow_load_holds_up_no_other_model(loads):
    loads.may_end.clear()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(shared_reranker, "slow")
        assert loads.under_way.wait(5)
        loads.under_way.clear()
        other = pool.submit(shared_reranker, "other")
        assert loads.under_way.wait(5), "the second model waits for the first"
        loads.may_end.set()
        assert slow.result(5) is not other.result(5)


def test_a_load_that_failed_is_tried_again(loads):
    loads.failures = 1
    with pytest.raises(ModelLoadError):
        shared_reranker("a")
    assert shared_reranker("a") is shared_reranker("a")
    assert len(loads.made) == 2


def test_what_is_cleared_is_loaded_anew(loads):
    one = shared_reranker("a")
    clear_shared_rerankers()
    assert shared_reranker("a") is not one


async def test_tasks_share_with_threads_and_the_event_loop_goes_on(loads):
    loads.may_end.clear()
    tasks = [asyncio.create_task(ashared_reranker("a")) for _ in range(3)]
    await asyncio.sleep(0.05)  # a load that blocked the loop would end before this does
    assert loads.under_way.is_set()
    assert not any(task.done() for task in tasks)
    loads.may_end.set()
    found = {*await asyncio.gather(*tasks), shared_reranker("a")}
    assert len(found) == 1
    assert len(loads.made) == 1


async def test_a_load_that_fails_in_a_task_surfaces_there(loads):
    loads.failures = 1
    with pytest.raises(ModelLoadError, match="not now"):
        await ashared_reranker("a")
    await ashared_reranker("a")


def test_a_shared_reranker_is_a_real_one(make):
    folder = make("bert_reranker")
    options = ModelOptions(device="cpu", dtype="float32", max_length=64)
    shared = shared_reranker(folder, options)
    assert isinstance(shared, Reranker)
    assert shared.options == options
    assert shared.scorer.max_length == 64
