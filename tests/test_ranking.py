from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_rerankers import ScoreError
from rag_rerankers.ranking import check_scores, check_threshold, check_top_n, order
from rag_rerankers.sigmoid import sigmoid

FINITE = st.floats(allow_nan=False)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.0, 0.5),
        (math.log(3), 0.75),
        (-math.log(3), 0.25),
        (-5.65234375, 0.003497010252573502),  # FlagEmbedding issue 987
        (1e308, 1.0),
        (-1e308, 0.0),
        (math.inf, 1.0),
        (-math.inf, 0.0),
    ],
)
def test_sigmoid_at_known_points(score, expected):
    assert sigmoid(score) == pytest.approx(expected, rel=1e-12)


@given(FINITE, FINITE)
def test_sigmoid_keeps_the_order_and_the_range(one, other):
    low, high = sorted((one, other))
    assert 0.0 <= sigmoid(low) <= sigmoid(high) <= 1.0


@pytest.mark.parametrize("top_n", [None, 0, 1, 10**9])
def test_a_sensible_top_n_is_taken(top_n):
    check_top_n(top_n)


@pytest.mark.parametrize(
    ("top_n", "error"),
    [(-1, ValueError), (2.0, TypeError), ("3", TypeError), (True, TypeError), ([1], TypeError)],
)
def test_a_senseless_top_n_is_refused_with_its_value(top_n, error):
    with pytest.raises(error, match="top_n") as caught:
        check_top_n(top_n)
    assert repr(top_n) in str(caught.value)


@pytest.mark.parametrize("threshold", [None, 0, 0.0, 0.3, 1, 1.0])
def test_a_sensible_threshold_is_taken(threshold):
    check_threshold(threshold)


@pytest.mark.parametrize(
    ("threshold", "error"),
    [
        (-0.01, ValueError),
        (1.01, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        ("0.5", TypeError),
        (True, TypeError),
        (Decimal("0.5"), TypeError),
    ],
)
def test_a_senseless_threshold_is_refused_with_its_value(threshold, error):
    with pytest.raises(error, match="threshold") as caught:
        check_threshold(threshold)
    assert str(threshold) in str(caught.value)


@pytest.mark.parametrize(
    "scores",
    [
        [1.5, -2.0],
        (1.5, -2),
        np.array([1.5, -2.0], dtype=np.float32),
        [np.float32(1.5), np.float16(-2.0)],
        (number for number in (1.5, -2.0)),
    ],
    ids=["list", "tuple with an int", "array", "numpy scalars", "generator"],
)
def test_scores_of_any_kind_become_python_floats(scores):
    checked = check_scores(scores, 2)
    assert checked == [1.5, -2.0]
    assert [type(score) for score in checked] == [float, float]


@pytest.mark.parametrize("scores", [[], [1.0], [1.0, 2.0, 3.0]])
def test_a_wrong_number_of_scores_is_refused_with_both_numbers(scores):
    with pytest.raises(ScoreError, match=rf"{len(scores)} scores for 2 texts"):
        check_scores(scores, 2)


def test_nan_is_refused_with_its_indices():
    with pytest.raises(ScoreError, match=r"2 of 4 scores are NaN, at indices 1, 3\."):
        check_scores([0.0, math.nan, math.inf, math.nan], 4)


def test_many_nan_are_not_all_listed():
    with pytest.raises(ScoreError, match=r"99 of 99 scores .* 18, 19, \.\.\.\."):
        check_scores([math.nan] * 99, 99)


def test_infinite_scores_can_be_ranked():
    assert order(check_scores([0.0, -math.inf, math.inf], 3)) == [2, 0, 1]


def test_ties_keep_the_order_of_the_input():
    assert order([0.5, 0.9, 0.5, 0.9, 0.5]) == [1, 3, 0, 2, 4]
    assert order([0.0, -0.0, 0.0]) == [0, 1, 2]
    assert order([]) == []


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), max_size=30))
def test_order_equals_numpy_stable_sort(scores):
    assert order(scores) == np.argsort(-np.array(scores), kind="stable").tolist()
