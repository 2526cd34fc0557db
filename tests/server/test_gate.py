from __future__ import annotations

import contextlib

import pytest

pytest.importorskip("fastapi")
from rag_rerankers.server.gate import Gate
from rag_rerankers.server.problems import Problem


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused(gate: Gate, tokens: int) -> Problem:
    with pytest.raises(Problem) as caught, gate.enter(tokens):
        pass
    assert caught.value.status == 503
    return caught.value


def work(gate: Gate, clock: Clock, tokens: int, seconds: float) -> None:
    with gate.enter(tokens):
        clock.now += seconds


def test_it_counts_who_is_inside(clock):
    gate = Gate(3, 100, clock)
    with gate.enter(30):
        with gate.enter(40):
            assert (gate.requests, gate.tokens) == (2, 70)
        assert (gate.requests, gate.tokens) == (1, 30)
    assert (gate.requests, gate.tokens) == (0, 0)


def test_who_fails_leaves_too(clock):
    gate = Gate(3, 100, clock)
    with pytest.raises(RuntimeError), gate.enter(30):
        raise RuntimeError
    assert (gate.requests, gate.tokens) == (0, 0)


def test_only_so_many_requests(clock):
    gate = Gate(2, 100, clock)
    with gate.enter(1), gate.enter(1):
        problem = refused(gate, 1)
        assert problem.message == "2 requests are being worked on, as many as are let in at once"
        assert not problem.close
    with gate.enter(1):
        pass


def test_only_so_many_tokens(clock):
    gate = Gate(10, 100, clock)
    with gate.enter(60):
        assert "about 60 tokens are being worked on, and about 41 more would exceed the 100" in (
            refused(gate, 41).message
        )
        with gate.enter(40):
            pass
    assert gate.tokens == 0


def test_one_request_alone_may_be_larger_than_the_queue(clock):
    gate = Gate(10, 100, clock)
    with gate.enter(1000):
        refused(gate, 1)


def test_before_anything_is_known_a_client_may_come_back_after_a_second(clock):
    gate = Gate(1, 100, clock)
    with gate.enter(50):
        assert refused(gate, 50).retry_after == 1.0


def test_the_guess_comes_from_the_speed(clock):
    gate = Gate(10, 1000, clock)
    work(gate, clock, 500, 10.0)  # 50 tokens a second
    with gate.enter(1000):
        # 600 of the tokens must be gone before there is room: 12 seconds.
        assert refused(gate, 600).retry_after == pytest.approx(20.0)  # but they leave together
    gate = Gate(10, 1000, clock)
    work(gate, clock, 500, 10.0)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(gate.enter(90))
        # 10 inside, 900 tokens: the next to go has 90, 1.8 seconds; 600 more need 500 to go.
        assert refused(gate, 50).retry_after == pytest.approx(1.8)
        assert refused(gate, 600).retry_after == pytest.approx(10.0)


def test_it_forgets_old_speeds_slowly(clock):
    gate = Gate(1, 100, clock)
    work(gate, clock, 100, 1.0)  # 100 a second
    work(gate, clock, 100, 10.0)  # 10 a second: 0.8 * 100 + 0.2 * 10 = 82
    with gate.enter(820):
        assert refused(gate, 1).retry_after == pytest.approx(10.0)


def test_requests_that_overlap_share_the_time(clock):
    gate = Gate(4, 10_000, clock)
    with gate.enter(100), gate.enter(100):
        clock.now += 4.0
    # 100 after 4 seconds, then 200 after 4: 0.8 * 25 + 0.2 * 50 = 30 a second.
    with gate.enter(9000), gate.enter(900), gate.enter(90), gate.enter(9):
        assert refused(gate, 301).retry_after == pytest.approx(60.0)  # at most a minute
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(gate.enter(90))
        assert refused(gate, 1).retry_after == pytest.approx(3.0)


def test_work_that_was_given_up_says_nothing_of_the_speed(clock):
    gate = Gate(1, 100, clock)
    work(gate, clock, 100, 10.0)  # 10 a second
    with contextlib.suppress(RuntimeError), gate.enter(100_000):
        clock.now += 0.001
        raise RuntimeError
    with gate.enter(100):
        assert refused(gate, 1).retry_after == pytest.approx(10.0)


def test_a_clock_that_stands_still_does_no_harm(clock):
    gate = Gate(1, 100, clock)
    work(gate, clock, 100, 0.0)
    with gate.enter(1):
        assert refused(gate, 1).retry_after == 1.0


def test_closed_it_lets_nobody_in_and_those_inside_finish(clock):
    gate = Gate(2, 100, clock)
    gate.check_open()
    with gate.enter(10):
        gate.close()
        problem = refused(gate, 1)
        assert problem.message == "the server is stopping"
        assert problem.headers == {"Retry-After": "5", "Connection": "close"}
        assert gate.requests == 1
    assert gate.requests == 0
    with pytest.raises(Problem):
        gate.check_open()
    gate.open()
    with gate.enter(1):
        gate.check_open()
