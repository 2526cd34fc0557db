from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError

import pytest
from tests.explanation.made import made, small, words

from rag_rerankers.explanation import Token


def test_contributions_worked_by_hand_add_up_to_the_score():
    explanation = small()
    # [CLS] .5 to [SEP], panda .75 + fillings .5 and .25 to bear, food .875 to eats, [SEP] 0.
    assert explanation.contributions == (0.0, 0.0, 1.5, 0.0, 0.875, 0.5)
    assert explanation.score == 2.875


def test_of_a_mean_the_contributions_are_parts_of_the_mean():
    explanation = small(mean=True)
    assert explanation.contributions == pytest.approx((0, 0, 1.5 / 6, 0, 0.875 / 6, 0.5 / 6))
    assert sum(explanation.contributions) == pytest.approx(explanation.score)


def test_the_passage_reaches_from_the_first_to_the_last_character_that_was_read():
    assert small().passage == (0, 12)
    assert made("a", "", words("a"), [Token("[CLS]", "special")], [[0.5]]).passage is None


def test_it_is_frozen_hashable_and_picklable():
    explanation = small()
    with pytest.raises(FrozenInstanceError):
        explanation.score = 1.0
    assert hash(explanation) == hash(small())
    assert pickle.loads(pickle.dumps(explanation)) == explanation


def test_the_repr_leaves_the_matrix_out():
    assert "similarities" not in repr(small())
    assert "similarity=0.875" in repr(small())
