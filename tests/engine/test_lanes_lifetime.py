"""When lanes begin and end: garbage, forks, the end of the program."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest
import torch
from tests.engine.summing import Summing, collect, rows, run, sums, until
from transformers import AutoModelForSequenceClassification

from rag_rerankers.engine import Engine
from rag_rerankers.engine import engine as engine_module
from rag_rerankers.engine.lanes import Lanes

CPU = torch.device("cpu")


@pytest.fixture
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def fails(indices, output):
    raise ValueError("no")


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.usefixtures("two_cores")
def test_the_threads_end_when_nobody_has_the_engine_any_more(make, monkeypatch, failed):
    monkeypatch.setattr(engine_module, "choose_runner", lambda *_, **__: Summing())
    model = AutoModelForSequenceClassification.from_pretrained(make("bert_reranker"))
    engine = Engine(model, 0, with_logits=True)
    assert not engine._lanes._threads, "none before they are needed"
    collect(engine, rows(3, 4))
    if failed:
        with pytest.raises(ValueError, match="no"):
            list(engine.run(rows(3), fails))
    threads = list(engine._lanes._threads)
    assert [thread.name for thread in threads] == [
        "rag-rerankers-lane-0",
        "rag-rerankers-lane-1",
        "rag-rerankers-all-cores",
    ]
    assert all(thread.is_alive() for thread in threads)
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_a_callers_error_keeps_nothing_in_memory():
    """Its traceback holds the batch's tensors: gigabytes that would wait for the collector."""
    lanes = Lanes(Summing(), with_logits=True, device=CPU, batch_tokens=10)

    class After:
        def __call__(self, indices, output):
            raise ValueError("no")

    after = After()
    gone = weakref.ref(after)
    gc.disable()
    try:
        with pytest.raises(ValueError, match="no") as caught:
            list(run(lanes, rows(3), after))
        del after, caught
        until(lambda: not lanes._running)
        until(lambda: gone() is None, 5)
    finally:
        gc.enable()
        lanes.stop()


def test_the_collector_may_stop_lanes_in_any_thread_at_any_time():
    """Also in one that holds their lock: a finalizer that waited for it would wait for ever."""
    lanes = Lanes(Summing(), with_logits=True, device=CPU, batch_tokens=10)
    assert collect(lanes, rows(3)) == sums(rows(3))

    def collected_inside() -> None:
        with lanes._lock:
            lanes.stop()

    thread = threading.Thread(target=collected_inside, daemon=True)
    thread.start()
    thread.join(5)
    stuck = thread.is_alive()
    if stuck:
        lanes._lock.release()  # or this process would not end
    assert not stuck
    for one in lanes._threads:
        one.join(20)
        assert not one.is_alive()


def test_lanes_that_have_stopped_say_so():
    lanes = Lanes(Summing(), with_logits=True, device=CPU, batch_tokens=10)
    collect(lanes, rows(3))
    lanes.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        lanes.submit(rows(3), lambda _, output: output)


AT_EXIT = """
import atexit, sys, threading

@atexit.register
def late():
    try:
        print(reranker.rank("a panda", ["bear"]))
    except RuntimeError as error:
        print("refused:", "stopped" in str(error), flush=True)

import torch
torch.set_num_threads(2)
from rag_rerankers import Reranker
reranker = Reranker(sys.argv[1], device="cpu", dtype="float32", batch_tokens=200)
texts = [f"panda {'bear ' * (n % 90)}" for n in range(5000)]
begun = threading.Event()

def work():
    while True:
        begun.set()
        reranker.rank("a panda", texts)

reranker.rank("a panda", texts[:1])
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
begun.wait()
print("main ends", flush=True)
"""


def test_a_program_that_ends_while_threads_rank_ends_well(make):
    """The lanes end after their batches; what is asked for later is refused, not waited for."""
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, str(make("bert_reranker"))],
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "main ends\nrefused: True\n"), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("two_cores")
def test_a_fork_waits_for_the_batches_in_progress_and_the_child_has_lanes_of_its_own():
    runner = Summing()
    lanes = Lanes(runner, with_logits=True, device=CPU, batch_tokens=10)
    runner.gate.clear()
    asked = rows(*[10] * 20)
    found = []
    caller = threading.Thread(target=lambda: found.extend(collect(lanes, asked)))
    caller.start()
    for _ in range(2):
        assert runner.entered.acquire(timeout=20)
    threading.Timer(0.2, runner.gate.set).start()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that hangs is killed
        quiet = runner.at_once == 0 and len(runner.batches) == 2  # and none began meanwhile
        right = collect(lanes, rows(3, 500)) == sums(rows(3, 500))
        alone = [thread.name for thread in lanes._threads]
        own = alone == [f"rag-rerankers-lane-{n}" for n in range(2)]
        os._exit(0 if quiet and right and own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    caller.join(20)
    assert found == sums(asked), "the parent goes on"
    lanes.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("two_cores")
def test_a_fork_by_what_runs_on_a_lane_does_not_wait_for_itself():
    lanes = Lanes(Summing(), with_logits=True, device=CPU, batch_tokens=10)

    def forks(_, output):
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        return output

    started = time.monotonic()
    assert len(list(run(lanes, rows(3), forks))) == 1
    assert time.monotonic() - started < 30
    assert collect(lanes, rows(3, 4)) == sums(rows(3, 4))
    lanes.stop()
