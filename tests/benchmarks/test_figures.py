"""The arithmetic, by hand."""

from __future__ import annotations

import pytest

from benchmarks.figures import Spread, correlation, line, paired_ratio, percentile, spread


def test_ratios_are_taken_within_rounds():
    # The second round was slow for both: 2/1, 30/10, 5/2.
    assert paired_ratio([2.0, 30.0, 5.0], [1.0, 10.0, 2.0]) == Spread(2.5, 2.0, 3.0)


@pytest.mark.parametrize(("theirs", "ours"), [([1.0], [1.0, 2.0]), ([], [])])
def test_rounds_that_do_not_match_are_refused(theirs, ours):
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_ratio(theirs, ours)


def test_the_median_of_an_even_number_lies_between():
    assert spread([4.0, 1.0, 3.0, 10.0]) == Spread(3.5, 1.0, 10.0)


def test_r2_of_points_beside_the_line():
    # y = 1, 2, 2 over x = 1, 2, 3: slope 1/2, intercept 2/3; r2 = 1 - (1/6) / (2/3) = 3/4.
    found = line([1, 2, 3], [1, 2, 2])
    assert found.slope == pytest.approx(0.5)
    assert found.intercept == pytest.approx(2 / 3)
    assert found.r2 == pytest.approx(0.75)


def test_r2_is_what_numpy_says():
    numpy = pytest.importorskip("numpy")
    x, y = [10, 50, 200, 1000], [1.2, 4.1, 23.0, 98.0]
    expected = numpy.corrcoef(x, y)[0, 1] ** 2
    assert line(x, y).r2 == pytest.approx(expected)


def test_percentiles_are_values_that_occurred():
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.99) == 99.0
    assert percentile(values, 0.5) == 50.0
    assert percentile([7.0], 0.99) == 7.0


def test_scores_that_do_not_vary_correlate_with_nothing():
    assert correlation([1.0, 1.0], [1.0, 2.0]) is None
    assert correlation([1.0, 2.0, 3.0], [5.0, 3.0, 1.0]) == pytest.approx(-1.0)
