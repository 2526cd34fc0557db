from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rag_rerankers.evaluation import Run, compare
from rag_rerankers.evaluation.comparison import Disagreement


def compared(first, second, k=10):
    """Two rankings of one query, each document a letter."""
    found = compare(Run("old", {"q": [*first]}), Run("new", {"q": [*second]}), k=k)
    (query,) = found.queries
    return query


@pytest.mark.parametrize(
    ("first", "second", "k", "overlap", "tau", "movement", "changed"),
    [
        # Pairs ab, ac, bc of the shared a b c: one in order, two turned. Movement of a, b, c.
        ("abcd", "caeb", 2, 1 / 2, -1 / 3, (1 + 2 + 2) / 3, "cab"),
        ("abc", "abc", 3, 1.0, 1.0, 0.0, ""),
        ("abc", "cba", 3, 1.0, -1.0, 4 / 3, "ac"),
        ("abcd", "bacd", 4, 1.0, 4 / 6, 2 / 4, "ab"),
        ("abcd", "bacd", 1, 0.0, 4 / 6, 1.0, "ab"),
        ("ab", "cd", 2, 0.0, 1.0, 0.0, "acbd"),
        ("ab", "ax", 2, 1 / 2, 1.0, 0.0, "bx"),
        # One is shorter: of three places, two hold the same.
        ("abc", "ab", 10, 2 / 3, 1.0, 0.0, "c"),
        # Far down, but ranked by both: it moved from 4 to 1.
        ("abcd", "dabc", 1, 0.0, 3 / 6 - 3 / 6, (1 + 3) / 2, "da"),
        ("", "", 10, 1.0, 1.0, 0.0, ""),
        ("a", "", 10, 0.0, 1.0, 0.0, "a"),
        ("", "a", 10, 0.0, 1.0, 0.0, "a"),
    ],
)
def test_worked_by_hand(first, second, k, overlap, tau, movement, changed):
    found = compared(first, second, k)
    assert found.query == "q"
    assert found.overlap == pytest.approx(overlap)
    assert found.tau == pytest.approx(tau)
    assert found.movement == pytest.approx(movement)
    assert "".join(one.document for one in found.disagreements) == changed


@given(st.permutations("abcdefgh"), st.permutations("cdefghij"))
def test_tau_equals_that_of_scipy_over_the_shared_documents(first, second):
    shared = [id_ for id_ in first if id_ in second]
    places = [first.index(id_) for id_ in shared], [second.index(id_) for id_ in shared]
    expected = stats.kendalltau(*places).statistic
    assert compared(first, second, 3).tau == pytest.approx(expected)
    assert compared(second, first, 3).tau == pytest.approx(expected)


@given(st.permutations("abcdefgh"), st.permutations("abcdwxyz"), st.integers(1, 9))
def test_the_other_way_round_differs_by_as_much(first, second, k):
    there, back = compared(first, second, k), compared(second, first, k)
    assert (there.overlap, there.movement) == (back.overlap, pytest.approx(back.movement))
    weights = [[one.weight for one in found.disagreements] for found in (there, back)]
    assert weights[0] == weights[1] == sorted(weights[0], reverse=True)


def test_disagreements_hold_both_ranks_and_the_weightiest_comes_first():
    found = compared("abcd", "caeb", 2).disagreements
    assert found == (
        Disagreement("q", "c", 3, 1),
        Disagreement("q", "a", 1, 2),
        Disagreement("q", "b", 2, 4),
    )
    assert [one.weight for one in found] == pytest.approx([1 - 1 / 3, 1 - 1 / 2, 1 / 2 - 1 / 4])


def test_a_document_that_only_one_ranks_weighs_its_reciprocal_rank():
    assert compared("ab", "ax", 2).disagreements == (
        Disagreement("q", "b", 2, None),
        Disagreement("q", "x", None, 2),
    )
    assert Disagreement("q", "b", 2, None).weight == Disagreement("q", "x", None, 2).weight == 0.5


def test_k_is_10_unless_told_otherwise():
    found = compare(Run("a", {"q": "abcdefghijkl"}), Run("b", {"q": "abcdefghijlk"}))
    assert found.k == 10
    assert (found.overlap, found.queries[0].disagreements) == (1.0, ())
    assert found.tau == pytest.approx(64 / 66)


OLD = Run("old", {"q2": [*"abcd"], "q1": [*"abc"], "alone": ["a"], "q3": [], "q4": [*"ab"]})
NEW = Run("new", {"q1": [*"abd"], "q2": [*"dcba"], "q3": ["a"], "q4": [*"ab"], "other": ["b"]})


def test_queries_of_both_are_compared_in_the_order_of_the_first():
    found = compare(OLD, NEW, k=3)
    assert (found.first, found.second, found.k) == ("old", "new", 3)
    assert [query.query for query in found.queries] == ["q2", "q1", "q3", "q4"]


def test_means_over_the_queries():
    found = compare(OLD, NEW, k=3)
    # q2: b and c are among the first three of both; a and d moved by 3, b and c by 1.
    assert found.overlap == pytest.approx((2 / 3 + 2 / 3 + 0 + 1) / 4)
    assert found.tau == pytest.approx((-1 + 1 + 1 + 1) / 4)
    assert found.movement == pytest.approx(((3 + 1 + 1 + 3) / 4 + 0 + 0 + 0) / 4)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("abc", "acb", 1.0),
        ("abc", "bac", 0.0),
        ("a", "", 0.0),
        ("", "a", 0.0),
        ("", "", 1.0),
        ("ab", "ca", 0.0),
    ],
)
def test_same_first_looks_at_the_top_alone(first, second, same):
    old = Run("old", {"q": [*first], "equal": ["z"]})
    new = Run("new", {"q": [*second], "equal": ["z"]})
    assert compare(old, new).same_first == (same + 1) / 2


def test_the_most_different_queries_come_first():
    found = compare(OLD, NEW, k=3)
    # By what the first three share, then by tau.
    assert [query.query for query in found.most_different(9)] == ["q3", "q2", "q1", "q4"]
    assert [query.query for query in found.most_different(1)] == ["q3"]
    assert found.most_different(0) == []


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(k):
    with pytest.raises(ValueError, match=f"not {k}"):
        compare(OLD, NEW, k=k)


def test_runs_without_a_common_query_are_refused():
    with pytest.raises(ValueError, match=r"'old' and 'x' have no query in common"):
        compare(OLD, Run("x", {"unknown": ["a"]}))
