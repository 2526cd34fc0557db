from __future__ import annotations

import math
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stand_ins import Given

from rag_rerankers import CalibratedScores, ScoreError
from rag_rerankers.ranking import (
    calibration_of,
    check_scores,
    check_threshold,
    check_top_n,
    order,
)
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


# --- the calibration of one answer ---


def test_scores_that_bring_their_relevance_keep_it():
    answer = CalibratedScores([3.0, -1.0, 3.0], [0.9, 0.1, 0.9])
    assert calibration_of(Given(), "q", answer)([-1.0, 3.0]) == [0.1, 0.9]


def test_between_known_scores_lies_a_line():
    calibration = calibration_of(Given(), "q", CalibratedScores([0.0, 10.0], [0.2, 0.8]))
    assert calibration([2.5, 5.0]) == pytest.approx([0.35, 0.5])


def test_beyond_them_relevance_falls_and_rises_as_of_logits():
    scores = [-2.0, 0.0, 1.0]
    answer = CalibratedScores(scores, [1 / (1 + math.exp(-score)) for score in scores])
    found = calibration_of(Given(), "q", answer)([-5.0, 4.0, -1e9, 1e9])
    assert found == pytest.approx([1 / (1 + math.exp(5)), 1 / (1 + math.exp(-4)), 0.0, 1.0])


@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 1)), min_size=1, max_size=10),
    st.lists(st.floats(-100, 100), min_size=2, max_size=10),
)
def test_a_calibration_is_monotone_and_stays_in_0_to_1(pairs, asked):
    scores = sorted({score for score, _ in pairs})
    relevance = sorted(value for _, value in pairs)[: len(scores)]
    calibration = calibration_of(Given(), "q", CalibratedScores(scores, relevance))
    found = calibration(sorted(asked))
    assert all(0.0 <= value <= 1.0 for value in found)
    assert all(low <= high + 1e-12 for low, high in pairwise(found))
    assert calibration(scores) == relevance
