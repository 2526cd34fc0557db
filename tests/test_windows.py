from __future__ import annotations

import math
import warnings
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_rerankers import TruncationWarning
from rag_rerankers.windows import (
    Passages,
    best_per_document,
    split_documents,
    warn_if_cut,
    windows,
)


@pytest.mark.parametrize(
    ("n_tokens", "size", "expected"),
    [
        (0, 8, [(0, 0)]),
        (1, 8, [(0, 1)]),
        (8, 8, [(0, 8)]),
        (9, 8, [(0, 8), (1, 9)]),
        (14, 8, [(0, 8), (6, 14)]),
        (15, 8, [(0, 8), (6, 14), (7, 15)]),
        (20, 8, [(0, 8), (6, 14), (12, 20)]),
        (26, 8, [(0, 8), (6, 14), (12, 20), (18, 26)]),
        (3, 1, [(0, 1), (1, 2), (2, 3)]),
        (5, 3, [(0, 3), (2, 5)]),
        (250, 100, [(0, 100), (75, 175), (150, 250)]),
    ],
)
def test_windows_worked_by_hand(n_tokens, size, expected):
    assert windows(n_tokens, size) == [slice(*borders) for borders in expected]


@given(st.integers(0, 400), st.integers(1, 64))
def test_windows_cover_every_token_and_each_is_full(n_tokens, size):
    found = windows(n_tokens, size)
    assert found[0].start == 0
    assert found[-1].stop == n_tokens
    assert all(w.stop - w.start == min(size, n_tokens) for w in found)
    for left, right in pairwise(found):
        assert left.start < right.start
        assert left.stop - right.start >= size // 4, "neighbours share a quarter"


@given(st.integers(0, 400), st.integers(1, 64))
def test_no_window_is_needless(n_tokens, size):
    found = windows(n_tokens, size)
    for before, after in zip(found, found[2:], strict=False):
        assert before.stop - after.start < size // 4 or size < 4


DOCUMENTS = [[1, 2], [], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4]]


def test_truncation_keeps_the_head_of_every_document_and_counts_the_cut():
    passages = split_documents(DOCUMENTS, 4, "truncate")
    assert passages == Passages(
        ids=[[1, 2], [], [1, 2, 3, 4], [1, 2, 3, 4]], document=[0, 1, 2, 3], n_documents=4, cut=(2,)
    )


def test_windows_remember_their_document_and_lose_nothing():
    passages = split_documents(DOCUMENTS, 4, "max_passage")
    assert passages == Passages(
        ids=[[1, 2], [], [1, 2, 3, 4], [4, 5, 6, 7], [1, 2, 3, 4]],
        document=[0, 1, 2, 2, 3],
        n_documents=4,
        cut=(),
    )


def passages_of(*document: int) -> Passages:
    return Passages([[]] * len(document), list(document), max(document) + 1)


def test_a_document_scores_as_its_best_passage():
    found = best_per_document([-3.0, -1.0, -2.0, 5.0, -7.5], passages_of(0, 0, 0, 1, 2))
    assert found == [-1.0, 5.0, -7.5]


@pytest.mark.parametrize("scores", [[math.nan, 1.0], [1.0, math.nan]])
def test_a_nan_is_not_hidden_by_a_better_passage(scores):
    found = best_per_document([*scores, 2.0], passages_of(0, 0, 1))
    assert math.isnan(found[0])
    assert found[1] == 2.0


def test_every_passage_needs_a_score():
    with pytest.raises(ValueError, match="argument 2 is longer"):
        best_per_document([1.0], passages_of(0, 1))


def test_the_warning_counts_the_texts_and_names_the_way_out():
    passages = split_documents([[0] * 9, [0] * 3, [0] * 5], 4, "truncate")
    with pytest.warns(TruncationWarning) as caught:
        warn_if_cut(passages.n_cut, passages.n_documents, 4, query_tokens=12, query_size=10)
    assert len(caught) == 1
    assert caught[0].filename == __file__, "the warning shows the caller's line"
    message = str(caught[0].message)
    assert "2 of 3 texts were cut to their first 4 tokens" in message
    assert "long_documents='max_passage'" in message
    assert "the query was cut from 12 to 10 tokens" in message


@pytest.mark.parametrize(
    ("lengths", "query_tokens", "told", "silent"),
    [((9,), 10, "1 of 1 texts", "query"), ((4,), 11, "query was cut from 11 to 10", "texts")],
    ids=["texts alone", "query alone"],
)
def test_the_warning_tells_only_what_happened(lengths, query_tokens, told, silent):
    passages = split_documents([[0] * length for length in lengths], 4, "truncate")
    with pytest.warns(TruncationWarning, match=told) as caught:
        warn_if_cut(passages.n_cut, passages.n_documents, 4, query_tokens, query_size=10)
    assert silent not in str(caught[0].message).replace("max_passage", "")


def test_nothing_is_told_when_everything_fits():
    passages = split_documents([[0] * 4], 4, "truncate")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_cut(passages.n_cut, passages.n_documents, 4, query_tokens=10, query_size=10)
