from __future__ import annotations

import pytest

from rag_rerankers import RemoteError, RemoteTimeoutError
from rag_rerankers.remote.deadline import Deadline
from rag_rerankers.remote.endpoint import parse_endpoint
from rag_rerankers.remote.messages import Lost, Pause, Reply, Request
from rag_rerankers.remote.retrying import Retrying, retry_after

HERE = parse_endpoint("http://h", "s3cret")
ASKED = Request("POST", "http://h/rerank", b"{}")
OK = Reply(200, {}, b"[]")


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def highest(low: float, high: float) -> float:
    return high


def run(answers, *, timeout=60.0, retries=3, backoff=1.0, jitter=highest, took=0.0):
    """Play the server: what came of it, and how long was paused."""
    clock = Clock()
    retrying = Retrying(retries, backoff, jitter, now=lambda: 0.0)
    steps = retrying.ask(ASKED, HERE, Deadline(timeout, clock))
    pauses = []
    left = list(answers)
    try:
        effect = next(steps)
        while True:
            if isinstance(effect, Pause):
                pauses.append(effect.seconds)
                clock.time += effect.seconds
                effect = steps.send(None)
                continue
            assert effect == ASKED
            clock.time += took
            answer = left.pop(0)
            effect = steps.throw(answer) if isinstance(answer, Lost) else steps.send(answer)
    except StopIteration as end:
        return end.value, pauses
    finally:
        assert not left, "not asked again"


def status(number, **headers):
    return Reply(number, {name.replace("_", "-"): value for name, value in headers.items()}, b"no")


@pytest.mark.parametrize(
    "number", [200, 204, 301, 400, 401, 403, 404, 409, 413, 422, 424, 500, 501]
)
def test_what_does_not_pass_is_not_asked_again(number):
    reply, pauses = run([status(number)])
    assert (reply.status, pauses) == (number, [])


@pytest.mark.parametrize("number", [408, 425, 429, 502, 503, 504])
def test_what_passes_is(number):
    assert run([status(number), status(number), OK]) == (OK, [1.0, 2.0])


def test_so_are_connections_that_broke():
    assert run([Lost("reset"), OK]) == (OK, [1.0])


def test_pauses_double_up_to_a_limit_and_are_drawn_from_zero():
    drawn = []

    def jitter(low, high):
        drawn.append((low, high))
        return 0.0

    with pytest.raises(RemoteError):
        run([status(503)] * 7, retries=6, backoff=0.5, jitter=jitter)
    assert drawn == [(0.0, high) for high in (0.5, 1.0, 2.0, 4.0, 8.0, 8.0)]


def test_after_the_last_try_the_error_tells_what_the_server_said():
    with pytest.raises(
        RemoteError, match=r"^http://h/rerank answered 503: no \(4 tries\)$"
    ) as caught:
        run([status(503)] * 4)
    assert (caught.value.status, caught.value.url) == (503, "http://h/rerank")
    assert not isinstance(caught.value, RemoteTimeoutError)


def test_without_retries_there_is_one_try():
    with pytest.raises(RemoteError, match=r"answered 502: no$"):
        run([status(502)], retries=0)


def test_a_server_that_is_not_there_has_no_status():
    with pytest.raises(
        RemoteError, match=r"cannot be reached: refused by \*\*\* \(4 tries\)"
    ) as caught:
        run([Lost("refused by s3cret")] * 4)
    assert caught.value.status is None


def test_what_would_only_happen_again_is_not_tried_again():
    with pytest.raises(RemoteError, match="cannot be reached: wrong certificate"):
        run([Lost("wrong certificate", again=False)])


# --- the deadline ---


def test_a_request_that_takes_all_the_time_is_late():
    with pytest.raises(RemoteTimeoutError, match="no scores within 5 seconds: slow") as caught:
        run([Lost("slow", late=True)], timeout=5.0)
    assert isinstance(caught.value, TimeoutError)


def test_there_is_no_pause_that_would_end_after_the_deadline():
    with pytest.raises(RemoteTimeoutError, match="answered 503: no"):
        run([status(503), status(503)], timeout=2.5)  # 1 second paused, 2 more do not fit


def test_nothing_is_asked_once_the_time_is_over():
    with pytest.raises(RemoteTimeoutError):
        run([status(503)], timeout=1.0, took=1.5)


# --- Retry-After ---


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("Thursday, 01-Jan-70 00:01:40 GMT", 60.0),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("soon", None),
        ("Thu, 99 Jan 1970 99:99:99 GMT", None),
        (None, None),
    ],
)
def test_both_forms_of_the_header_are_read(header, seconds):
    assert retry_after(header, now=40.0) == seconds


def test_a_server_is_given_the_time_that_it_asks_for_and_a_little_more():
    assert run([status(429, retry_after="7"), OK]) == (OK, [8.0])


def test_too_long_a_time_fails_at_once_and_says_so():
    with pytest.raises(
        RemoteError, match=r"come again in 120 seconds, but .* 60.0 are left"
    ) as caught:
        run([status(503, retry_after="120")])
    assert caught.value.status == 503


def test_an_unreadable_time_is_none():
    assert run([status(503, retry_after="later"), OK]) == (OK, [1.0])
