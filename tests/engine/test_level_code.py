"""What only whole numbers do: they overflow, and some numbers are none of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("llvmlite", reason="needs the extra 'cpu'")

from tests.engine.softmax import (
    HERE,
    LEVELS,
    exact,
    kernel_of,
    off,
    run,
    states_of,
    step,
    tolerance,
)

pytestmark = [
    pytest.mark.skipif(not HERE.lanes, reason="needs an x86 CPU with AVX2"),
    pytest.mark.parametrize("kind", LEVELS, ids=str),
]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("part", range(3), ids=["query", "key", "value"])
def test_one_number_that_is_none_makes_levels_of_its_head_none(kind, part, number):
    states = states_of(kind, 60)
    states[25, part, 1, 3] = number
    got = run(kernel_of(kind), states, (20, 20, 20), (20, 20, 20), 0.3)
    assert np.isnan(got[20:40, 1]).all()
    got[20:40, 1] = 0
    assert np.isfinite(got).all()


def test_levels_of_nothing_but_zeros(kind):
    states = torch.zeros(20, 3, 1, kind.dim, dtype=states_of(kind, 1).dtype)
    np.testing.assert_array_equal(run(kernel_of(kind), states, (20,), (20,), 0.3), 0.0)


@pytest.mark.parametrize("numbers", [1, 24], ids=["in one number", "in many"])
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_queries_and_keys_do_not_overflow(kind, numbers, sign):
    """The product of levels is as large as can be: both are parallel, and all others are as long.

    The first key's score is the greatest or the least by far.
    """
    states = torch.zeros(50, 3, 1, kind.dim)
    states[:, 0, :, :numbers] = 3.0
    states[:, 1, :, :numbers] = -sign * 5.0
    states[0, 1] *= -1
    states[:, 2] = torch.arange(50.0)[:, None, None]
    states = states.to(states_of(kind, 1).dtype)
    got = run(kernel_of(kind), states, (50,), (50,), 10.0)
    expected = 0.0 if sign == 1 else 25.0
    np.testing.assert_allclose(got, expected, atol=50 * step(kind), rtol=0)


@pytest.mark.parametrize("keys", [1, 2, 16, 17, 64, 65, 1000, 3001])
@pytest.mark.parametrize("value", [7.0, -7.0])
def test_sums_of_weights_and_values_do_not_overflow(kind, keys, value):
    """All weights are as large as can be, all values are the greatest."""
    states = torch.zeros(keys, 3, 1, kind.dim, dtype=states_of(kind, 1).dtype)
    states[:, 2] = value
    got = run(kernel_of(kind), states, (keys,), (keys,), 0.3)
    np.testing.assert_allclose(got, value, rtol=1e-6)


def test_many_small_weights_beside_a_great_one_are_not_lost(kind):
    """As by a model that looks at its first token mostly."""
    states = torch.zeros(301, 3, 1, kind.dim)
    states[:, 0, :, 0] = 1.0
    states[0, 1, :, 0] = np.log(1000.0)  # a weight of 1 and three hundred of 1/1000
    states[1:, 2] = 1.0
    states = states.to(states_of(kind, 1).dtype)
    got = run(kernel_of(kind), states, (301,), (301,), 1.0)
    weight = np.exp(float(states[0, 1, 0, 0]))
    np.testing.assert_allclose(got, 300 / (300 + weight), rtol=1e-2)


def test_a_key_that_is_far_longer_than_others_spoils_nothing(kind):
    states = states_of(kind, 100, heads=1)
    states[7, 1] *= 30.0
    got = run(kernel_of(kind), states, (100,), (100,), 0.05)
    assert off(got, exact(states, (100,), (100,), 0.05)) < 2 * tolerance(kind)
