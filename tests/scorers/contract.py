"""What every scorer must do, whatever kind of model it is.

A test module inherits from :class:`ScorerContract` and gives a fixture ``scorer``. Long texts are
cut as the model does it; whether that is warned of is not this contract's business.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.samples import MIXED, NASTY, QUERY, random_texts

from rag_rerankers import CalibratedScorer, Reranker, Scorer

__all__ = ["ScorerContract"]

TEXTS = [*MIXED, *random_texts(11, 6)]


def near(scores):
    """float32 sums in another order."""
    return pytest.approx(scores, abs=1e-4, rel=1e-5)


@pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")
class ScorerContract:
    """The properties, each a test."""

    def test_it_is_a_scorer_with_relevance(self, scorer):
        assert isinstance(scorer, Scorer)
        assert isinstance(scorer, CalibratedScorer)

    def test_there_is_one_python_float_per_text(self, scorer):
        scores = scorer.score(QUERY, TEXTS)
        assert isinstance(scores, list)
        assert [type(score) for score in scores] == [float] * len(TEXTS)
        assert all(score == score for score in scores), "NaN"

    def test_different_texts_score_differently(self, scorer):
        assert len(set(scorer.score(QUERY, TEXTS))) > len(TEXTS) - 3

    def test_no_texts_have_no_scores(self, scorer):
        assert scorer.score(QUERY, []) == []
        assert scorer.relevance(QUERY, []) == []

    @pytest.mark.parametrize("kind_of_sequence", [list, tuple])
    def test_any_sequence_of_texts_will_do(self, scorer, kind_of_sequence):
        assert scorer.score(QUERY, kind_of_sequence(TEXTS)) == near(scorer.score(QUERY, TEXTS))

    def test_the_order_of_the_texts_changes_nothing(self, scorer):
        expected = dict(zip(TEXTS, scorer.score(QUERY, TEXTS), strict=True))
        shuffled = random.Random(0).sample(TEXTS, len(TEXTS))
        found = scorer.score(QUERY, shuffled)
        assert found == near([expected[text] for text in shuffled])

    def test_the_company_of_a_text_changes_nothing(self, scorer):
        together = scorer.score(QUERY, TEXTS)
        alone = [scorer.score(QUERY, [text])[0] for text in TEXTS]
        assert together == near(alone)

    def test_equal_texts_score_alike(self, scorer):
        first, second, third = scorer.score(QUERY, ["bear", "bear", "bear"])
        assert first == near(second) == near(third)

    def test_the_texts_are_not_changed(self, scorer):
        texts = list(TEXTS)
        scorer.score(QUERY, texts)
        assert texts == TEXTS

    def test_any_unicode_is_scored_as_a_text(self, scorer):
        (expected,) = scorer.score(QUERY, ["bear"])
        *odd, beside = scorer.score(QUERY, [*NASTY.values(), "bear"])
        for name, score in zip(NASTY, odd, strict=True):
            assert score == score, name
        assert beside == near(expected)

    def test_any_unicode_is_scored_as_a_query(self, scorer):
        for name, query in NASTY.items():
            (score,) = scorer.score(query, ["bear"])
            assert score == score, name

    def test_relevance_keeps_the_order_and_lies_in_0_to_1(self, scorer):
        scores = sorted(scorer.score(QUERY, TEXTS))
        relevance = scorer.relevance(QUERY, scores)
        assert relevance == sorted(relevance)
        assert all(0.0 <= value <= 1.0 for value in relevance)
        assert [type(value) for value in relevance] == [float] * len(scores)
        extremes = scorer.relevance(QUERY, [-1e9, 1e9])
        assert extremes == pytest.approx([0.0, 1.0])

    def test_a_reranker_takes_it(self, scorer):
        hits = Reranker(scorer).rank(QUERY, TEXTS)
        scores = scorer.score(QUERY, TEXTS)
        assert sorted(hit.index for hit in hits) == list(range(len(TEXTS)))
        assert [hit.score for hit in hits] == near(sorted(scores, reverse=True))
        assert all(hit.text == TEXTS[hit.index] for hit in hits)

    def test_threads_get_the_scores_of_one_thread(self, scorer):
        chosen = random.Random(5)
        jobs = [
            (chosen.choice(TEXTS), chosen.sample(TEXTS, chosen.randint(1, 6))) for _ in range(16)
        ]
        expected = [scorer.score(*job) for job in jobs]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda job: scorer.score(*job), jobs))
        for got, wanted in zip(found, expected, strict=True):
            assert got == near(wanted)
