"""Errors, cancellation and a lack of memory, in passes that several callers share."""

from __future__ import annotations

import contextvars
import logging
import threading

import pytest
import torch
from tests.engine.summing import Held, Summing, collect, idle, rows, run, sums, until

from rag_rerankers import OutOfMemoryError
from rag_rerankers.cancellation import Cancelled, current_flag

ELSEWHERE = torch.device("meta")


def failing(error):
    def after(indices, output):
        raise error

    return after


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)], ids=repr)
def test_an_error_in_one_callers_own_step_is_his_alone(lanes, callers, error):
    held = Held(lanes(Summing(), 100), callers)
    first, last = rows(3, 8, caller=1), rows(5, caller=3)

    def fail() -> None:
        with pytest.raises(type(error)) as caught:
            list(run(held.lanes, rows(2, caller=2), failing(error)))
        assert caught.value is error

    futures = [held.submit(collect, held.lanes, first), held.submit(fail),
               held.submit(collect, held.lanes, last)]  # fmt: skip
    held.go()
    assert [future.result(20) for future in futures] == [sums(first), None, sums(last)]
    assert len(held.runner.passes[1]) == 4, "they did share a pass"
    assert collect(held.lanes, first) == sums(first)


def test_a_sequence_that_cannot_be_computed_fails_its_caller_only(lanes, callers):
    runner = Summing()
    held = Held(lanes(runner, 100), callers)
    first, broken, last = (rows(3, 8, caller=n) for n in (1, 2, 3))
    runner.bad, runner.error = {broken[1].ids[0]}, RuntimeError("device-side assert")

    def fail() -> None:
        with pytest.raises(RuntimeError) as caught:
            collect(held.lanes, broken)
        assert caught.value is runner.error

    futures = [held.submit(collect, held.lanes, first), held.submit(fail),
               held.submit(collect, held.lanes, last)]  # fmt: skip
    held.go()
    assert [future.result(20) for future in futures] == [sums(first), None, sums(last)]


def test_who_is_cancelled_in_the_queue_is_never_computed(lanes, callers):
    runner = Summing()
    held = Held(lanes(runner, 100), callers)
    flag, gone = threading.Event(), rows(2, caller=2)

    def work() -> None:
        current_flag.set(flag)
        collect(held.lanes, gone)

    future = held.submit(contextvars.copy_context().run, work)
    flag.set()
    with pytest.raises(Cancelled):
        future.result(20)  # while the pass of somebody else goes on
    assert runner.batches == []
    held.go()
    until(lambda: idle(held.lanes))
    assert runner.passes == [[rows(1)[0].ids[0]]]


def test_a_shared_pass_that_does_not_fit_is_taken_again_in_parts(lanes, callers, caplog):
    runner = Summing(memory=20)
    held = Held(lanes(runner, 400, device=ELSEWHERE), callers)
    asked = [rows(6, 3, 9, caller=1), rows(12, 1, caller=2), rows(7, caller=3)]
    with caplog.at_level(logging.WARNING, "rag_rerankers"):
        futures = [held.submit(collect, held.lanes, sequences) for sequences in asked]
        held.go()
        assert [future.result(20) for future in futures] == [sums(one) for one in asked]
    assert held.lanes.batch_tokens == 19, "half of 38"
    assert sum(runner.batches) == 1 + 38
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


def test_one_text_that_never_fits_does_not_fail_those_who_shared_its_pass(lanes, callers):
    held = Held(lanes(Summing(memory=20), 400, device=ELSEWHERE), callers)
    first, last = rows(6, 3, caller=1), rows(7, caller=3)

    def fail() -> None:
        with pytest.raises(OutOfMemoryError, match="one sequence of 50 tokens"):
            collect(held.lanes, rows(50, caller=2))

    futures = [held.submit(collect, held.lanes, first), held.submit(fail),
               held.submit(collect, held.lanes, last)]  # fmt: skip
    held.go()
    assert [future.result(20) for future in futures] == [sums(first), None, sums(last)]
