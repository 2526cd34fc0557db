from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_rerankers.batching import Queue, Request, longest_first
from rag_rerankers.tokenization import TokenSequence

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)
CALLERS = st.lists(LENGTHS, min_size=1, max_size=4)
ENDLESS = 10**9


def request(*lengths: int, first: int | None = None) -> Request:
    rows = [TokenSequence([0] * length) for length in lengths]
    return Request(rows, lambda _, output: output, threading.RLock(), first)


def queue(*requests: Request) -> Queue:
    made = Queue()
    for one in requests:
        made.add(one)
    return made


def take(of: Queue, budget: int, most_held: int = ENDLESS, *, padded=False, equal=False):
    """The next batch: who gets what, by the requests' names."""
    return of.take(budget, most_held, padded=padded, equal=equal)


def all_batches(of: Queue, budget: int, **how):
    found = []
    while batch := take(of, budget, **how):
        found.append(batch)
    return found


def batches(lengths: list[int], budget: int, **how) -> list[list[int]]:
    """Those of one caller who is alone."""
    one = request(*lengths)
    found = all_batches(queue(one), budget, **how)
    assert all(len(parts) == 1 and parts[0].request is one for parts in found)
    return [parts[0].indices for parts in found]


def lengths_in(parts) -> list[int]:
    return [part.request.lengths[index] for part in parts for index in part.indices]


def size(lengths: list[int], padded: bool) -> int:
    return len(lengths) * max(lengths) if padded else sum(lengths)


def test_the_longest_comes_first_and_equal_lengths_keep_their_order():
    assert longest_first([3, 9, 3, 5, 9]) == [1, 4, 3, 0, 2]
    assert longest_first([]) == []


def test_a_sequence_that_is_to_be_first_is_in_the_first_batch_however_short():
    asked = request(9, 2, 30, 8, first=1)
    assert list(asked.waiting) == [1, 2, 0, 3]
    waiting = queue(asked)
    assert waiting.pending(ENDLESS) == (49, 30), "the longest is not the first"
    assert [batch[0].indices for batch in all_batches(waiting, 32)] == [[1, 2], [0, 3]]


def test_the_longest_that_waits_is_known_to_the_end():
    asked = request(2, first=0)
    assert asked.longest == 2
    take(queue(asked), 1)
    assert asked.longest == 0


@given(LENGTHS, st.data())
def test_a_first_one_loses_nothing_and_is_alone_where_lengths_must_be_equal(lengths, data):
    first = data.draw(st.integers(0, len(lengths) - 1))
    for how in ({}, {"padded": True}, {"equal": True}):
        found = all_batches(queue(request(*lengths, first=first)), 64, **how)
        assert found[0][0].indices[0] == first
        assert sorted(index for batch in found for index in batch[0].indices) == list(
            range(len(lengths))
        )
        if "equal" in how:
            assert all(len(set(lengths_in(batch))) == 1 for batch in found)


# --- one caller ---


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
    assert batches([3, 9, 3, 5, 3], 8, padded=True, equal=True) == [[1], [3], [0, 2], [4]]


@given(LENGTHS, st.integers(1, 200), st.booleans())
def test_every_sequence_is_in_exactly_one_batch(lengths, budget, padded):
    flat = [index for batch in batches(lengths, budget, padded=padded) for index in batch]
    assert sorted(flat) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 200), st.booleans())
def test_a_batch_ends_only_because_the_next_sequence_does_not_fit(lengths, budget, padded):
    found = batches(lengths, budget, padded=padded)
    for batch, following in pairwise(found):
        assert size([lengths[index] for index in (*batch, following[0])], padded) > budget


# --- several callers ---


def test_a_batch_is_filled_from_the_oldest_caller_on():
    first, second, third = request(4, 6), request(3, 9), request(2)
    waiting = queue(first, second, third)
    # 6 and 4; 9 does not fit beside them, nor is the second's 3 taken before its 9; 2 does fit
    assert take(waiting, 13) == [(first, [1, 0]), (third, [0])]
    assert take(waiting, 13) == [(second, [1, 0])]
    assert take(waiting, 13) == []


def test_padding_counts_for_all_callers_of_a_batch():
    first, second = request(4, 4), request(5, 1)
    # two rows of 4, then three of 5
    assert take(queue(first, second), 14, padded=True) == [(first, [0, 1])]
    first, second = request(4, 4), request(5, 1)
    assert take(queue(first, second), 15, padded=True) == [(first, [0, 1]), (second, [0])]


def test_callers_share_only_equal_lengths_where_that_is_asked():
    first, second, third = request(4, 2), request(5), request(4, 4)
    waiting = queue(first, second, third)
    assert take(waiting, 99, padded=True, equal=True) == [(first, [0]), (third, [0, 1])]
    assert take(waiting, 99, padded=True, equal=True) == [(first, [1])]
    assert take(waiting, 99, padded=True, equal=True) == [(second, [0])]


@given(CALLERS, st.integers(1, 200), st.booleans(), st.booleans())
def test_every_caller_gets_everything_once(callers, budget, padded, equal):
    requests = [request(*lengths) for lengths in callers]
    taken = {id(one): [] for one in requests}
    for parts in all_batches(queue(*requests), budget, padded=padded, equal=equal):
        for part in parts:
            taken[id(part.request)] += part.indices
    for one in requests:
        assert sorted(taken[id(one)]) == list(range(len(one.lengths)))
        assert one.tokens_waiting == 0
        assert one.held == sum(one.lengths)


@given(CALLERS, st.integers(1, 200), st.booleans(), st.booleans())
def test_no_batch_exceeds_the_budget_but_a_single_sequence(callers, budget, padded, equal):
    requests = [request(*lengths) for lengths in callers]
    for parts in all_batches(queue(*requests), budget, padded=padded, equal=equal):
        found = lengths_in(parts)
        assert len(found) == 1 or size(found, padded) <= budget
        assert not equal or len(set(found)) == 1


# --- turns ---


def test_who_has_had_four_batches_goes_to_the_back():
    large, small = request(*[10] * 20), request(10)
    waiting = queue(large)
    for _ in range(3):
        assert take(waiting, 10)[0].request is large
    waiting.add(small)
    found = [parts[0].request for parts in all_batches(waiting, 10)]
    assert found[:2] == [large, small]
    assert found[2:] == [large] * 16


def test_two_large_callers_take_turns():
    one, other = request(*[10] * 9), request(*[10] * 9)
    found = [parts[0].request for parts in all_batches(queue(one, other), 10)]
    assert found == [one] * 4 + [other] * 4 + [one] * 4 + [other] * 4 + [one, other]


# --- what is held, given back, given up ---


def test_a_caller_who_does_not_fetch_is_passed_over():
    slow, other = request(*[10] * 9), request(5)
    waiting = queue(slow, other)
    assert take(waiting, 10, 15) == [(slow, [0])]
    assert take(waiting, 10, 15) == [(slow, [1])], "10 is not more than 15"
    assert take(waiting, 10, 15) == [(other, [0])], "20 is"
    assert take(waiting, 10, 15) == []
    slow.held -= 10
    assert take(waiting, 10, 15) == [(slow, [2])]


def test_pending_is_what_could_be_computed_now():
    one, other = request(3, 8), request(9, 1)
    waiting = queue(one, other)
    assert waiting.pending(ENDLESS) == (21, 9)
    take(waiting, 8, ENDLESS)  # the 8
    assert waiting.pending(ENDLESS) == (13, 9)
    assert waiting.pending(7) == (10, 9), "the first holds 8"
    take(waiting, 9, 7)
    assert waiting.pending(7) == (0, 0)
    assert Queue().pending(ENDLESS) == (0, 0)


def test_what_is_put_back_is_taken_again_in_the_same_order():
    one, other = request(3, 8, 5, 2), request(4)
    waiting = queue(one, other)
    (part,) = take(waiting, 14)
    assert part.indices == [1, 2]
    one.put_back(part.indices)
    assert (one.held, one.tokens_waiting) == (0, 18)
    assert take(waiting, 10) == [(one, [1])]
    assert take(waiting, 99) == [(one, [2, 0, 3]), (other, [0])]


def test_who_has_failed_waits_for_nothing():
    one, other = request(3, 3), request(4)
    waiting = queue(one, other)
    with one.news:
        one.fail(ValueError("no"))
    assert waiting.pending(ENDLESS) == (4, 4)
    assert take(waiting, 99) == [(other, [0])]


def test_who_has_gone_is_not_computed_and_may_go_twice():
    one, other = request(3, 3), request(4)
    waiting = queue(one, other)
    waiting.remove(one)
    waiting.remove(one)
    assert take(waiting, 99) == [(other, [0])]
