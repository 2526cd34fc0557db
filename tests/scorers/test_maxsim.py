from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rag_rerankers.scorers.maxsim import maxsim

QUERY = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def test_maxima_worked_by_hand():
    documents = torch.tensor(
        [
            [0.8, 0.6],  # document 0: best for the first query vector
            [0.0, 1.0],  # document 0: best for the second
            [-0.6, -0.8],  # document 1, alone
            [0.6, -0.8],  # document 2
            [-1.0, 0.0],  # document 2
        ]
    )
    found = maxsim(QUERY, documents, [2, 1, 2])
    # 0.8 + 1.0; -0.6 - 0.8: a negative best counts as it is; 0.6 + 0.0
    assert found.tolist() == pytest.approx([1.8, -1.4, 0.6])
    assert found.dtype == torch.float32


def test_a_document_without_vectors_matches_nothing():
    found = maxsim(QUERY, torch.tensor([[1.0, 0.0]]), [0, 1, 0])
    assert found.tolist() == [-math.inf, 1.0, -math.inf]


def test_no_documents_have_no_scores():
    assert maxsim(QUERY, torch.zeros(0, 2), []).tolist() == []


@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [3, -1]])
def test_lengths_that_do_not_fit_are_refused_with_both_numbers(lengths):
    with pytest.raises((ValueError, RuntimeError)) as caught:
        maxsim(QUERY, torch.zeros(2, 2) if sum(lengths) != 2 else torch.zeros(5, 2), lengths)
    assert str(sum(lengths)) in str(caught.value)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 6), st.integers(0, 99))
def test_scores_equal_numpys_one_document_at_a_time(lengths, n_query, seed):
    chosen = np.random.default_rng(seed)
    query = chosen.normal(size=(n_query, 4))
    documents = [chosen.normal(size=(length, 4)) for length in lengths]
    expected = [(query @ document.T).max(axis=1).sum() for document in documents]
    packed = torch.tensor(np.concatenate(documents))
    found = maxsim(torch.tensor(query), packed, lengths).tolist()
    assert found == pytest.approx(expected, abs=1e-4)


def test_half_precision_vectors_are_summed_in_float32():
    """32 maxima of 1 and one of 0.01: bfloat16 cannot hold 32.01."""
    query = torch.ones(33, 1, dtype=torch.bfloat16)
    query[32] = 0.01
    found = maxsim(query, torch.ones(1, 1, dtype=torch.bfloat16), [1])
    assert found.item() == pytest.approx(32 + float(torch.tensor(0.01).bfloat16()), abs=1e-5)
