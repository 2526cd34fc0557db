from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_rerankers.batching import longest_first, take_batch

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def batches(lengths: list[int], budget: int, *, padded: bool) -> list[list[int]]:
    order, found, start = longest_first(lengths), [], 0
    while start < len(order):
        found.append(take_batch(lengths, order, start, budget, padded=padded))
        start += len(found[-1])
    return found


def test_the_longest_comes_first_and_equal_lengths_keep_their_order():
    assert longest_first([3, 9, 3, 5, 9]) == [1, 4, 3, 0, 2]
    assert longest_first([]) == []


@pytest.mark.parametrize(
    ("budget", "padded", "expected"),
    [
        # lengths, sorted: 9 (1), 5 (3), 3 (0), 3 (2)
        (9, False, [[1], [3, 0], [2]]),
        (11, False, [[1], [3, 0, 2]]),
        (14, False, [[1, 3], [0, 2]]),
        (20, False, [[1, 3, 0, 2]]),
        (14, True, [[1], [3, 0], [2]]),
        (15, True, [[1], [3, 0, 2]]),
        (18, True, [[1, 3], [0, 2]]),
        (36, True, [[1, 3, 0, 2]]),
        (1, False, [[1], [3], [0], [2]]),
        (1, True, [[1], [3], [0], [2]]),
    ],
)
def test_batches_worked_by_hand(budget, padded, expected):
    assert batches([3, 9, 3, 5], budget, padded=padded) == expected


def test_only_equal_lengths_go_together_where_that_is_asked():
    lengths = [3, 9, 3, 5, 3]
    order = longest_first(lengths)
    found = [
        take_batch(lengths, order, start, 8, padded=True, equal=True) for start in (0, 1, 2, 4)
    ]
    assert found == [[1], [3], [0, 2], [4]]


@given(LENGTHS, st.integers(1, 200), st.booleans())
def test_every_sequence_is_in_exactly_one_batch(lengths, budget, padded):
    flat = [index for batch in batches(lengths, budget, padded=padded) for index in batch]
    assert sorted(flat) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 200), st.booleans())
def test_no_batch_exceeds_the_budget_but_a_single_sequence(lengths, budget, padded):
    for batch in batches(lengths, budget, padded=padded):
        sizes = [lengths[index] for index in batch]
        assert len(batch) == 1 or (len(sizes) * max(sizes) if padded else sum(sizes)) <= budget


@given(LENGTHS, st.integers(1, 200), st.booleans())
def test_a_batch_ends_only_because_the_next_sequence_does_not_fit(lengths, budget, padded):
    found = batches(lengths, budget, padded=padded)
    for batch, following in pairwise(found):
        sizes = [lengths[index] for index in (*batch, following[0])]
        assert (len(sizes) * max(sizes) if padded else sum(sizes)) > budget
