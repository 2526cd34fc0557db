from __future__ import annotations

import pytest
from tests.kinds import KINDS
from tests.samples import QUERY
from tests.scorers.contract import ScorerContract

ONE_MB = ("the giant panda lives in china! " * 40_000)[: 2**20]
FEW = [kind for kind in KINDS if kind.name in ("xlmr", "stanford")]


class TestEveryKind(ScorerContract):
    """The fixture ``scorer`` of conftest.py goes through all of them."""


class TestEveryKindInWindows(ScorerContract):
    """The same with long documents read in windows, and with small batches."""

    @pytest.fixture(params=FEW, ids=str)
    def scorer(self, request, loader):
        return loader(request.param, long_documents="max_passage", max_length=48, batch_tokens=100)


@pytest.mark.parametrize("kind", FEW, ids=str)
def test_a_megabyte_of_text_is_scored_and_so_is_its_neighbour(kind, loader):
    scorer = loader(kind)
    (expected,) = scorer.score(QUERY, ["bear"])
    with pytest.warns(UserWarning, match="1 of 2 texts"):
        huge, beside = scorer.score(QUERY, [ONE_MB, "bear"])
    assert huge == huge
    assert beside == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", FEW, ids=str)
def test_a_megabyte_as_the_query_is_scored(kind, loader):
    with pytest.warns(UserWarning, match="the query was cut from"):
        (score,) = loader(kind).score(ONE_MB, ["bear"])
    assert score == score
