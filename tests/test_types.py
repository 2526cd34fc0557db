from __future__ import annotations

import dataclasses
import pickle

import pytest

from rag_rerankers import AsyncScorer, CalibratedScorer, CalibratedScores, RankedDocument, Scorer


class Plain:
    def score(self, query, texts):
        return [0.0] * len(texts)


class Calibrated(Plain):
    def relevance(self, query, scores):
        return [0.5] * len(scores)


HIT = RankedDocument(index=3, text="a panda", score=1.5, relevance=0.8)


@pytest.mark.parametrize(
    ("candidate", "is_scorer", "is_calibrated"),
    [
        (Plain(), True, False),
        (Calibrated(), True, True),
        (object(), False, False),
        (len, False, False),
    ],
    ids=["score alone", "score and relevance", "object", "function"],
)
def test_a_scorer_is_whatever_has_the_methods(candidate, is_scorer, is_calibrated):
    assert isinstance(candidate, Scorer) is is_scorer
    assert isinstance(candidate, CalibratedScorer) is is_calibrated


@pytest.mark.parametrize("name", ["index", "text", "score", "relevance"])
def test_a_hit_is_frozen(name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(HIT, name, 0)


def test_a_hit_takes_no_new_attributes():
    with pytest.raises((AttributeError, TypeError)):
        HIT.rank = 1


def test_a_hit_compares_by_value_hashes_and_pickles():
    same = RankedDocument(3, "a panda", 1.5, 0.8)
    assert same == HIT
    assert hash(same) == hash(HIT)
    assert pickle.loads(pickle.dumps(HIT)) == HIT
    assert dataclasses.replace(HIT, index=4) != HIT


def test_the_fields_of_a_hit_keep_their_order():
    assert [field.name for field in dataclasses.fields(RankedDocument)] == [
        "index",
        "text",
        "score",
        "relevance",
    ]


def test_a_hit_knows_whether_it_was_scored():
    assert HIT.scored
    assert not dataclasses.replace(HIT, score=float("nan")).scored


def test_calibrated_scores_are_a_list_that_pickles():
    scores = CalibratedScores(iter([2.0, 1.0]), (0.75, 0.5))
    assert scores == [2.0, 1.0]
    back = pickle.loads(pickle.dumps(scores))
    assert (type(back), back, back.relevance) == (CalibratedScores, [2.0, 1.0], [0.75, 0.5])


def test_an_async_scorer_has_both_methods():
    class Both(Plain):
        async def ascore(self, query, texts):
            return self.score(query, texts)

    assert isinstance(Both(), AsyncScorer)
    assert not isinstance(Plain(), AsyncScorer)
