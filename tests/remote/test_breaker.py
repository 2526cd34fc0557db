from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from rag_rerankers.remote.breaker import Breaker


class Clock:
    time = 50.0

    def __call__(self) -> float:
        return self.time


def opened(failures=3, cooldown=10.0):
    clock = Clock()
    breaker = Breaker(failures, cooldown, clock)
    for _ in range(failures):
        breaker.leave(breaker.enter(), answered=False, failure="down")
    return breaker, clock


def test_it_opens_after_so_many_failures_in_a_row():
    breaker = Breaker(3, 10.0, Clock())
    for _ in range(3):
        entry = breaker.enter()
        assert entry.wait is None
        breaker.leave(entry, answered=False, failure="down")
    assert breaker.enter().wait == 10.0
    assert breaker.last == "down"


def test_an_answer_between_them_starts_anew():
    breaker = Breaker(2, 10.0, Clock())
    for answered in (False, True, False):
        breaker.leave(breaker.enter(), answered=answered, failure=None if answered else "down")
    assert breaker.enter().wait is None


def test_what_is_neither_does_not_count():
    breaker = Breaker(2, 10.0, Clock())
    breaker.leave(breaker.enter(), answered=False, failure="down")
    for _ in range(5):
        breaker.leave(breaker.enter(), answered=False)
    assert breaker.enter().wait is None
    breaker.leave(breaker.enter(), answered=False, failure="down")
    assert breaker.enter().wait == 10.0


def test_after_the_cooldown_one_call_tries_and_the_others_wait():
    breaker, clock = opened()
    clock.time += 9.0
    assert breaker.enter().wait == 1.0
    clock.time += 1.0
    trial = breaker.enter()
    assert (trial.wait, trial.trial) == (None, True)
    assert breaker.enter().wait == 0.0


def test_a_trial_that_succeeds_closes_it():
    breaker, clock = opened()
    clock.time += 10.0
    breaker.leave(breaker.enter(), answered=True)
    assert [breaker.enter().wait for _ in range(3)] == [None] * 3


def test_a_trial_that_fails_opens_it_for_another_cooldown():
    breaker, clock = opened()
    clock.time += 12.0
    breaker.leave(breaker.enter(), answered=False, failure="still down")
    assert (breaker.enter().wait, breaker.last) == (10.0, "still down")


def test_a_trial_that_was_cancelled_leaves_it_to_the_next():
    breaker, clock = opened()
    clock.time += 10.0
    breaker.leave(breaker.enter(), answered=False)
    assert breaker.enter().trial


def test_calls_from_before_do_not_prolong_the_cooldown_nor_end_the_trial():
    clock = Clock()
    breaker = Breaker(1, 10.0, clock)
    before = [breaker.enter() for _ in range(3)]
    breaker.leave(before[0], answered=False, failure="down")
    clock.time += 5.0
    breaker.leave(before[1], answered=False, failure="down")
    clock.time += 5.0
    assert breaker.enter().trial
    breaker.leave(before[2], answered=False, failure="down")
    assert breaker.enter().wait == 0.0


def test_zero_failures_never_open_it():
    breaker = Breaker(0, 10.0, Clock())
    for _ in range(100):
        breaker.leave(breaker.enter(), answered=False, failure="down")
    assert breaker.enter().wait is None


def test_of_many_threads_one_tries():
    breaker, clock = opened()
    clock.time += 10.0
    together = threading.Barrier(8)

    def enter(_):
        together.wait(timeout=30)
        return breaker.enter()

    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(enter, range(8)))
    assert sum(entry.trial for entry in entries) == 1
    assert sum(entry.wait is None for entry in entries) == 1
