from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag_rerankers import Reranker
from rag_rerankers.workers import worker_threads


class Length:
    """The longer, the better."""

    def score(self, query, texts):
        return [float(len(text)) for text in texts]


def test_a_process_has_one_bounded_pool():
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: worker_threads(), range(32)))) == 1
    assert 2 <= worker_threads()._max_workers <= 32


def test_the_threads_say_whose_they_are():
    name = worker_threads().submit(lambda: threading.current_thread().name).result(5)
    assert name.startswith("rag-rerankers")


def _rank_in_child(reranker, answers) -> None:
    hits = asyncio.run(reranker.arank("q", ["a", "ccc", "bb"]))
    answers.put([hit.text for hit in hits])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_process_does_not_wait_for_threads_that_it_lost():
    reranker = Reranker(Length())
    await reranker.arank("q", ["a"])  # the parent has its threads now
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_rank_in_child, args=(reranker, answers))
    child.start()
    child.join(15)
    if child.is_alive():
        child.kill()
        pytest.fail("the child waits for ever")
    assert child.exitcode == 0
    assert answers.get() == ["ccc", "bb", "a"]
