"""Lanes for tests, whose threads end with them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.engine.summing import Summing

from rag_rerankers.engine.lanes import Lanes


@pytest.fixture
def cores():
    """Sets how many cores there are to be used."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def lanes(cores, callers):
    """Makes lanes around a runner, and ends their threads."""
    made: list[Lanes] = []

    def make(runner: Summing, budget: int, n_cores: int = 1, **settings) -> Lanes:
        cores(n_cores)
        settings = {"with_logits": True, "device": torch.device("cpu"), **settings}
        made.append(Lanes(runner, batch_tokens=budget, **settings))
        return made[-1]

    yield make
    for one in made:
        one._runner.gate.set()
        with one._lock:
            for request in list(one._queue._requests):  # or a test that fails would not end
                request.fail(AssertionError("nobody computed what was left"))
        one.stop()


@pytest.fixture
def callers():
    with ThreadPoolExecutor(40) as pool:
        yield pool
