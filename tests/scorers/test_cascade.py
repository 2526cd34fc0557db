"""One ranking out of two models, the numbers worked by hand."""

from __future__ import annotations

import math
import random
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.scorers.tables import Eighths, Table, pair

from rag_rerankers import CascadeScorer, Reranker

# --- the numbers, by hand ---


def test_what_the_strong_model_read_keeps_its_scores_and_the_rest_is_placed_below():
    # Kept are 8 and 6. The worst of them has the logit 0, relevance 1/2. The others have the
    # relevance 4/8 and 2/8, so 1/4 and 1/8, whose logits are -ln 3 and -ln 7.
    cascade, texts = pair((4, 8, 2, 6), (None, 0.0, None, 3.0), 2, cheap_kind=Eighths)
    scores = cascade.score("q", texts)
    assert scores == pytest.approx([-math.log(3), 0.0, -math.log(7), 3.0])
    assert (scores[1], scores[3]) == (0.0, 3.0)
    assert cascade.relevance("q", scores) == pytest.approx(
        [1 / 4, 1 / 2, 1 / 8, 1 / (1 + math.exp(-3))]
    )


def test_the_place_is_on_the_strong_models_own_scale():
    # The worst that was read has 4/8. Logits 0 and -ln 3 are relevance 1/2 and 1/4: 2/8 and 1/8.
    cascade, texts = pair((5, 4, 0, -math.log(3)), (6, 4, None, None), 2, strong_kind=Eighths)
    scores = cascade.score("q", texts)
    assert scores == pytest.approx([6, 4, 2, 1])
    assert cascade.relevance("q", scores) == pytest.approx([6 / 8, 4 / 8, 2 / 8, 1 / 8])


def test_three_stages_are_two_followed_by_the_third():
    # a reads 4; b reads "1", "2", "3" and gives 2/8 at worst; c reads "2", "3": 4/8 at worst.
    a = Eighths({"0": 4, "1": 5, "2": 6, "3": 7})
    b = Eighths({"1": 2, "2": 4, "3": 4})
    c = Eighths({"2": 8, "3": 4})
    scores = CascadeScorer([a, b, c], [3, 2]).score("q", list("0123"))
    # "1" was read by b: 2/8 * 4/8 = 1/8. "0" by a alone: 4/8 * 2/8 * 4/8 = 1/16.
    assert scores == pytest.approx([1 / 2, 1, 8, 4])
    nested = CascadeScorer([CascadeScorer([a, b], 3), c], 2)
    assert nested.score("q", list("0123")) == pytest.approx(scores)


def test_a_place_is_a_millionth_lower_than_the_one_before_at_least():
    # All sigmoids are 1.0 in floating point: there is nothing but the order.
    cascade, texts = pair((400, 300, 200, 200, 100), (5000, None, None, None, None), 1)
    assert cascade.score("q", texts) == pytest.approx(
        [5000, 5000 - 0.005, 5000 - 0.010, 5000 - 0.010, 5000 - 0.015], abs=1e-6
    )


def test_what_the_cheap_model_calls_worthless_has_a_place_too():
    # 0/8 counts as 1e-9: 1e-9 / 2 has the logit ln(5e-10), nearly.
    cascade, texts = pair((1, 0, -3), (0.0, None, None), 1, cheap_kind=Eighths)
    first, second, third = cascade.score("q", texts)
    assert first == 0.0
    assert second == pytest.approx(math.log(5e-10), abs=1e-5)
    assert third == pytest.approx(second - 1e-6 * abs(second), abs=1e-9)


def test_a_threshold_is_passed_unread_only_if_both_models_think_highly():
    # Read: 7/8 and 6/8. Unread: 6/8 of what the cheap model thinks: 6/8 * 7/8 = .66, 6/8 * 4/8.
    cascade, texts = pair((8, 8, 7, 4), (7, 6, None, None), 2, Eighths, Eighths)
    reranker = Reranker(cascade)
    for threshold, expected in ((0.8, 1), (0.7, 2), (0.65, 3), (0.3, 4)):
        assert len(reranker.rank("q", texts, threshold=threshold)) == expected


# --- who reads what ---


@pytest.mark.parametrize("keep", [1, 2, 5, 9])
def test_the_strong_model_reads_exactly_the_best_of_the_cheap_one(keep):
    cheap = random.Random(3).sample(range(100), 10)
    cascade, texts = pair(cheap, [0.0] * 10, keep)
    cascade.score("q", texts)
    first, second = cascade.stages
    assert first.calls == [texts]
    (read,) = second.calls
    assert len(read) == keep
    best = sorted(range(10), key=lambda i: -cheap[i])[:keep]
    assert read == [str(i) for i in sorted(best)], "in the order of the input"


def test_at_the_border_the_first_of_equals_is_read():
    cascade, texts = pair((1, 2, 1, 1), (3, 4, None, None), 2)
    assert cascade.score("q", texts)[:2] == [3, 4]


def test_equal_scores_of_either_model_keep_the_order_of_the_input():
    cascade, texts = pair((1, 5, 1, 5, 0, 5), (None, 2, None, 2, None, 2), 3)
    hits = Reranker(cascade).rank("q", texts)
    assert [hit.index for hit in hits] == [1, 3, 5, 0, 2, 4]
    assert hits[3].score == hits[4].score


@pytest.mark.parametrize("n_texts", [1, 2, 3])
def test_up_to_keep_texts_are_the_strong_models_alone(n_texts):
    cascade, texts = pair([0.0] * n_texts, [2.0, -1.0, 7.0][:n_texts], 3)
    assert cascade.score("q", texts) == [2.0, -1.0, 7.0][:n_texts]
    assert [stage.calls for stage in cascade.stages] == [[], [texts]]


def test_of_three_stages_those_that_would_not_choose_are_not_asked():
    scores = {str(i): float(i) for i in range(9)}
    for n_texts, keep, expected in (
        (9, [5, 2], [9, 5, 2]),
        (5, [5, 2], [0, 5, 2]),
        (2, [5, 2], [0, 0, 2]),
        (9, [5, 5], [9, 0, 5]),
        (9, 5, [9, 0, 5]),
    ):
        stages = [Table(scores) for _ in range(3)]
        CascadeScorer(stages, keep).score("q", [str(i) for i in range(n_texts)])
        assert [sum(map(len, stage.calls)) for stage in stages] == expected


def test_no_texts_ask_nobody():
    cascade, _ = pair((), (), 2)
    assert cascade.score("q", []) == []
    assert cascade.relevance("q", []) == []
    assert [stage.calls for stage in cascade.stages] == [[], []]


def test_equal_texts_may_part_at_the_border():
    cheap, strong = Table({"a": 1.0}), Table({"a": 5.0})
    hits = Reranker(CascadeScorer([cheap, strong], 2)).rank("q", ["a"] * 4)
    assert [hit.index for hit in hits] == [0, 1, 2, 3]
    assert strong.calls == [["a", "a"]]
    assert hits[1].score == 5.0 > hits[2].score == hits[3].score


def test_top_n_may_be_more_than_keep():
    cascade, texts = pair(range(9), range(9), 2)
    hits = Reranker(cascade).rank("q", texts, top_n=5)
    assert [hit.index for hit in hits] == [8, 7, 6, 5, 4]


# --- any numbers ---

numbers = st.floats(allow_nan=False)
scores_of = st.one_of(
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(-3, 3).map(float), st.floats(-12, 12)), min_size=1, max_size=12),
    st.lists(
        st.tuples(
            st.sampled_from([-math.inf, -1.7976931348623157e308, 0.0, 5e-324, math.inf]),
            st.sampled_from([-math.inf, -1.7976931348623157e308, -1.797e308, 0.0, math.inf]),
        ),
        min_size=1,
        max_size=12,
    ),
)


@given(
    scores_of,
    st.integers(1, 12),
    st.sampled_from([Table, Eighths]),
    st.sampled_from([Table, Eighths]),
)
@example([(0.0, -math.inf), (1.0, -math.inf), (-1.0, 0.0), (-2.0, 0.0)], 2, Table, Table)
@example([(3.0, math.inf), (2.0, 0.0), (1.0, 0.0)], 1, Table, Table)
def test_there_is_one_monotone_ranking_whatever_the_numbers(scores, keep, cheap_kind, strong_kind):
    cheap, strong = map(list, zip(*scores, strict=True))
    cascade, texts = pair(cheap, strong, keep, cheap_kind, strong_kind)
    found = cascade.score("q", texts)
    read = set(sorted(range(len(texts)), key=lambda i: (-cheap[i], i))[:keep])
    rest = [i for i in range(len(texts)) if i not in read]
    assert all(type(score) is float and not math.isnan(score) for score in found)
    for group, own in ((read, strong), (rest, cheap)):
        for i in group:
            for j in group:
                assert (found[i] < found[j]) is (own[i] < own[j])
    assert all(found[i] > found[j] for i in read for j in rest)
    lowest = min(strong[i] for i in read)
    for i in read:
        assert found[i] == strong[i] or lowest < -1.79e308
    relevance = cascade.relevance("q", found)
    best_first = sorted(range(len(texts)), key=found.__getitem__, reverse=True)
    assert all(0.0 <= value <= 1.0 for value in relevance)
    assert [relevance[i] for i in best_first] == sorted(relevance, reverse=True)
    assert relevance == [cascade.relevance("q", [score])[0] for score in found], "alone as together"


@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=2, max_size=30))
def test_the_order_survives_float32(scores):
    """trec_eval and many a vector store keep no more."""
    cheap, strong = map(list, zip(*scores, strict=True))
    cascade, texts = pair(cheap, strong, 1)
    found = cascade.score("q", texts)
    single = [struct.unpack("f", struct.pack("f", score))[0] for score in found]
    for i in range(len(texts)):
        for j in range(len(texts)):
            assert (single[i] < single[j]) is (found[i] < found[j])


def test_a_thousand_texts_that_crowd_are_kept_apart():
    cascade, texts = pair([1e9 - i for i in range(1000)], [-math.inf] * 1000, 10)
    scores = cascade.score("q", texts)
    assert len(set(scores)) == 991
    assert scores[9:] == sorted(scores[9:], reverse=True)


def test_a_naive_calibration_is_not_asked_for_what_it_cannot_do():
    class Naive(Table):
        def relevance(self, query, scores):
            return [1 / (1 + math.exp(-score)) for score in scores]

    for low in (-300.0, -9.0, 0.0, 9.0, 1e300):
        cascade, texts = pair(range(40), [low] * 40, 3, Naive, Naive)
        assert Reranker(cascade).rank("q", texts)[0].score == low


def test_a_calibration_that_looks_at_the_company_spoils_no_order():
    class Softmax(Table):
        def relevance(self, query, scores):
            powers = [math.exp(score - max(scores)) for score in scores]
            return [power / sum(powers) for power in powers]

    cascade, texts = pair(range(8), range(8), 3, Softmax, Softmax)
    assert [hit.index for hit in Reranker(cascade).rank("q", texts)] == [7, 6, 5, 4, 3, 2, 1, 0]
