from __future__ import annotations

import contextvars
import threading

import pytest

from rag_rerankers import check_cancelled
from rag_rerankers.cancellation import Cancelled, current_flag


def run_with(flag: threading.Event | None) -> None:
    context = contextvars.copy_context()
    context.run(current_flag.set, flag)
    context.run(check_cancelled)


def test_work_that_nobody_can_cancel_goes_on():
    check_cancelled()
    run_with(None)


def test_work_goes_on_until_its_flag_is_set():
    flag = threading.Event()
    run_with(flag)
    flag.set()
    with pytest.raises(Cancelled):
        run_with(flag)


def test_a_flag_stops_its_own_work_only():
    flag = threading.Event()
    flag.set()
    with pytest.raises(Cancelled):
        run_with(flag)
    run_with(threading.Event())
    check_cancelled()


def test_code_that_catches_exceptions_cannot_catch_the_cancellation():
    assert not issubclass(Cancelled, Exception)
