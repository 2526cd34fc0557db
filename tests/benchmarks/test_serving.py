"""The load test tells right answers from wrong ones, and counts them."""

from __future__ import annotations

import pytest

from benchmarks.serving import _summary
from benchmarks.serving_clients import Answered, _same

RIGHT = [(1, 0.9), (0, 0.4)]


@pytest.mark.parametrize(
    ("found", "same"),
    [
        ([(1, 0.9), (0, 0.4)], True),
        ([(1, 0.9000001), (0, 0.4)], True),
        ([(0, 0.9), (1, 0.4)], False),
        ([(1, 0.9), (0, 0.41)], False),
        ([(1, 0.9)], False),
        ([], False),
    ],
)
def test_an_answer_is_right_if_order_and_scores_are(found, same):
    assert _same(found, RIGHT) is same


def test_answers_are_counted_by_what_became_of_them():
    answered = [Answered(at=float(n), seconds=1.0, status=200, right=n != 3) for n in range(1, 11)]
    answered.append(Answered(at=2.0, seconds=0.01, status=503, retry_after=2.0))
    answered.append(Answered(at=2.0, seconds=0.01, status=503))
    answered.append(Answered(at=2.0, seconds=0.5, status=0, error="ConnectError"))
    summary = _summary(answered)
    assert summary["answers"] == 10
    assert summary["statuses"] == {"200": 10, "503": 2, "ConnectError": 1}
    assert summary["wrong"] == 1
    assert summary["without_retry_after"] == 1
    # From the first question, at 0 s, to the last answer, at 10 s; ten candidates each.
    assert summary["answers_per_second"] == 1.0
    assert summary["texts_per_second"] == 10.0
    assert summary["p50_seconds"] == 1.0


def test_no_answer_at_all_is_no_result():
    with pytest.raises(SystemExit, match="ConnectError"):
        _summary([Answered(at=1.0, seconds=1.0, status=0, error="ConnectError")])
