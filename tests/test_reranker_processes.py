from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
from tests.samples import QUERY
from tests.stand_ins import Length

from rag_rerankers import (
    Reranker,
)


def test_a_pickled_reranker_loads_its_model_again(make):
    folder = make("bert_reranker")
    reranker = Reranker(folder, device="cpu", dtype="float32", max_length=64)
    data = pickle.dumps(reranker)
    assert len(data) < 2000, "weights do not travel"
    back = pickle.loads(data)
    assert back.options == reranker.options
    assert back.rank(QUERY, ["bear", "city"]) == reranker.rank(QUERY, ["bear", "city"])


def test_a_reranker_around_a_scorer_pickles_with_it():
    back = pickle.loads(pickle.dumps(Reranker(Length())))
    assert [hit.text for hit in back.rank("q", ["a", "bb"])] == ["bb", "a"]


class Subclass(Reranker):
    pass


def test_a_subclass_comes_back_from_a_pickle():
    assert type(pickle.loads(pickle.dumps(Subclass(Length())))) is Subclass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_ranks_although_a_thread_of_the_parent_was_ranking(make):
    reranker = Reranker(make("bert_encoder"), device="cpu", dtype="float32")
    reranker.rank("a panda", ["bear"])
    with reranker.scorer.engine._lanes._lock:  # as a thread holds it that takes a batch
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # a child that hangs is killed
            os._exit(0 if reranker.rank("a panda", ["bear"]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_program_that_ends_does_not_wait_for_queued_work():
    code = """
import asyncio, threading, time
from rag_rerankers import Reranker, check_cancelled
class Slow:
    def score(self, query, texts):
        for _ in range(600):
            check_cancelled(); time.sleep(0.1)
        return [0.0 for _ in texts]
async def many():
    await asyncio.gather(*[Reranker(Slow()).arank("q", ["a"]) for _ in range(3)])
threading.Thread(target=lambda: asyncio.run(many()), daemon=True).start()
time.sleep(0.5)
"""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], timeout=40, check=False, capture_output=True)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "call", ["reranker.rank('q', ['a'])", "asyncio.run(reranker.arank('q', ['a']))"]
)
def test_a_thread_that_outlives_the_main_one_gets_its_ranking(call):
    """As long as it is no daemon: the interpreter waits for it."""
    code = f"""
import asyncio, threading, time
from rag_rerankers import Reranker, check_cancelled
class Slow:
    def score(self, query, texts):
        for _ in range(10):
            check_cancelled(); time.sleep(0.1)
        return [0.0 for _ in texts]
reranker = Reranker(Slow())
threading.Thread(target=lambda: print(len({call}))).start()
time.sleep(0.3)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=40, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
