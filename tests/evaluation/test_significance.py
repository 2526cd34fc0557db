from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rag_rerankers.evaluation.significance import Difference, compare_values

# Eighths add up without rounding.
GAINS = st.lists(st.integers(-8, 8).map(lambda n: n / 8), min_size=1, max_size=9)


def compared(gains, seed=0):
    before = {f"q{n}": 0.25 for n in range(len(gains))}
    after = {f"q{n}": 0.25 + gain for n, gain in enumerate(gains)}
    return compare_values("nDCG@10", ("first", before), ("model", after), seed)


def enumerated(gains):
    """Two-sided p-value from all ways to swap: how many sums are as far from 0 as this one."""
    ways = product(*((gain, -gain) for gain in gains))
    sums = [sum(way) for way in ways]
    return sum(abs(total) >= abs(sum(gains)) for total in sums) / len(sums)


@pytest.mark.parametrize(
    ("gains", "p_value"),
    [
        # All three must keep or all three must change their sign: 2 of 8 ways.
        ([1, 1, 1], 2 / 8),
        ([1, 1, 1, 1, 1, 1], 2 / 64),
        ([-1, -1, -1], 2 / 8),
        # 1 + 1 - 1: every way is as far from 0.
        ([1, 1, -1], 1),
        # Only 3 + 1 and its mirror are as far from 0 as 4.
        ([3, 1], 2 / 4),
        ([3, -1], 1),
        # One query can only keep or change its sign, wherever it stands among equal ones.
        ([1], 1),
        ([0, -1, 0], 1),
        ([0, 0], 1),
        ([0], 1),
    ],
    ids=str,
)
def test_p_values_worked_by_hand(gains, p_value):
    assert compared(gains).p_value == pytest.approx(p_value)


@given(GAINS)
@settings(max_examples=25)
def test_p_values_equal_the_enumeration_of_all_swaps(gains):
    assert compared(gains).p_value == pytest.approx(enumerated(gains))


@pytest.mark.parametrize(
    "gains", [[0.5, -0.25, 0, 0, 0.75, 0.125, 0], [0, 0.3, 0.1, -0.05, 0.2, 0, 0.4, 0.01]], ids=str
)
def test_zeros_change_no_p_value(gains):
    expected = stats.permutation_test((gains,), np.mean, permutation_type="samples").pvalue
    assert compared(gains).p_value == pytest.approx(expected)
    assert compared([gain for gain in gains if gain]).p_value == pytest.approx(expected)


def test_p_values_of_many_queries_are_drawn_near_the_enumerated_ones():
    gains = np.random.default_rng(7).normal(0.1, 0.3, 16)
    signs = np.array(list(product((1, -1), repeat=16)))
    exact = np.mean(np.abs(signs @ gains) >= abs(gains.sum()) - 1e-12)
    assert 0.05 < exact < 0.95
    assert compared(list(gains)).p_value == pytest.approx(exact, abs=0.015)


def test_a_clear_gain_over_many_queries_is_no_chance():
    found = compared([0.25] * 30 + [-0.25] * 2)
    # Never 0: of 9,999 draws and the one that was seen, at least the latter.
    assert 0 < found.p_value <= 0.001
    assert found.significant


@pytest.mark.parametrize(("p_value", "significant"), [(0.049, True), (0.05, False), (0.9, False)])
def test_significant_is_a_p_value_below_5_percent(p_value, significant):
    assert replace(compared([1, 1]), p_value=p_value).significant is significant


def test_means_wins_losses_and_ties():
    before = {"a": 0.5, "b": 0.5, "c": 0.0, "d": 1.0, "e": 0.25}
    after = {"a": 1.0, "b": 0.75, "c": 0.0, "d": 0.0, "e": 0.25}
    found = compare_values("P@1", ("first", before), ("model", after))
    assert (found.measure, found.baseline, found.system) == ("P@1", "first", "model")
    assert found.before == pytest.approx(2.25 / 5)
    assert found.after == pytest.approx(2.0 / 5)
    assert found.delta == pytest.approx(-0.25 / 5)
    assert (found.wins, found.losses, found.ties) == (2, 1, 2)


def test_rounding_wins_nothing():
    found = compared([1e-12, -1e-12, 0.0])
    assert (found.wins, found.losses, found.ties) == (0, 0, 3)
    assert found.p_value == 1.0


def test_queries_are_paired_by_id():
    before = {"a": 0.0, "b": 0.5, "c": 1.0}
    after = {"c": 1.0, "b": 0.5, "a": 0.0}
    found = compare_values("P@1", ("first", before), ("model", after))
    assert (found.wins, found.losses, found.ties) == (0, 0, 3)


def test_equal_systems():
    assert compared([0.0] * 5) == Difference(
        "nDCG@10", "first", "model", 0.25, 0.25, 0.0, 0.0, 1.0, wins=0, losses=0, ties=5
    )


def test_the_same_gain_everywhere_has_an_interval_without_width():
    found = compared([0.5, 0.5, 0.5])
    assert (found.low, found.high) == (0.5, 0.5)


def test_a_single_query_says_nothing():
    found = compared([0.5])
    assert (found.low, found.high, found.p_value, found.wins) == (0.5, 0.5, 1.0, 1)


def test_the_draws_are_the_same_at_every_call():
    gains = list(np.random.default_rng(2).normal(0.05, 0.3, 40))
    assert compared(gains) == compared(gains)
    assert compared(gains) != compared(gains, seed=1)


def test_the_interval_equals_that_of_scipy():
    gains = np.random.default_rng(3).exponential(0.2, 50) - 0.1
    expected = stats.bootstrap(
        (gains,), np.mean, method="percentile", n_resamples=30_000, confidence_level=0.95, rng=99
    ).confidence_interval
    found = compared(list(gains))
    # Other draws: equal to about a fiftieth of the width.
    near = (expected.high - expected.low) / 50
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=near)


def test_the_interval_shrinks_with_the_root_of_the_queries():
    gains = np.random.default_rng(4).normal(0.1, 0.3, 1600)
    widths = {}
    for n in (25, 100, 400, 1600):
        found = compared(list(gains[:n]))
        assert found.low < found.delta < found.high
        widths[n] = found.high - found.low
        normal = 2 * 1.96 * gains[:n].std() / n**0.5
        assert widths[n] == pytest.approx(normal, rel=0.08)
    assert widths[25] > widths[100] > widths[400] > widths[1600]


@given(GAINS)
@settings(max_examples=15)
def test_the_interval_holds_the_mean(gains):
    found = compared(gains)
    assert found.low - 1e-12 <= found.delta <= found.high + 1e-12


def test_swapping_the_systems_turns_the_signs():
    gains = [0.5, -0.25, 0.75, 0.0, 0.125]
    there, back = compared(gains), compared([-gain for gain in gains])
    assert back.p_value == pytest.approx(there.p_value)
    assert back.delta == pytest.approx(-there.delta)
    assert (back.wins, back.losses, back.ties) == (there.losses, there.wins, there.ties)
