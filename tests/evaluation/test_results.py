from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from rag_rerankers.evaluation import Collection, Evaluation, Run, System
from rag_rerankers.evaluation.results import Gain
from rag_rerankers.evaluation.significance import Difference

QUERIES = {"q1": "one", "q2": "two", "q3": "three"}


def system(name, *values):
    by_query = dict(zip(QUERIES, values, strict=True))
    doubled = {id_: 2 * value for id_, value in by_query.items()}
    return System(name, Run(name, {}), {"nDCG@10": by_query, "P@5": doubled})


def difference(measure, baseline, chosen):
    return Difference(measure, baseline, chosen, 0.1, 0.2, 0.0, 0.2, 0.5, 1, 0, 0)


FIRST = system("bm25", 0.5, 0.25, 0.0)
ONE = system("one", 0.5, 1.0, 0.125)
TWO = system("two", 0.0, 0.5, 0.0)
PAIRS = [("bm25", "one"), ("bm25", "two"), ("one", "two")]
FOUND = Evaluation(
    collection=Collection("made", {}, QUERIES),
    top_k=10,
    measures=("nDCG@10", "P@5"),
    first=FIRST,
    models=(ONE, TWO),
    differences=tuple(difference(name, *pair) for pair in PAIRS for name in ("nDCG@10", "P@5")),
)


@pytest.mark.parametrize(
    ("measure", "queries", "mean"),
    [
        ("nDCG@10", None, (0.5 + 1.0 + 0.125) / 3),
        ("P@5", None, 2 * (0.5 + 1.0 + 0.125) / 3),
        ("nDCG@10", ["q3"], 0.125),
        ("nDCG@10", ["q1", "q3"], 0.3125),
    ],
)
def test_means_over_all_queries_or_some(measure, queries, mean):
    assert ONE.mean(measure, queries) == pytest.approx(mean)


def test_the_first_stage_is_a_system_too():
    assert FOUND.systems == (FIRST, ONE, TWO)


@pytest.mark.parametrize("measure", ["nDCG@10", "P@5"])
@pytest.mark.parametrize(
    ("asked", "pair"),
    [(("one",), ("bm25", "one")), (("two",), ("bm25", "two")), (("two", "one"), ("one", "two"))],
)
def test_a_difference_is_found_by_its_pair(measure, asked, pair):
    found = FOUND.difference(measure, *asked)
    assert (found.measure, found.baseline, found.system) == (measure, *pair)


@pytest.mark.parametrize(
    "asked", [("nDCG@10", "three"), ("MRR@10", "one"), ("nDCG@10", "one", "two")], ids=str
)
def test_a_pair_that_was_not_compared_is_named(asked):
    with pytest.raises(KeyError) as caught:
        FOUND.difference(*asked)
    measure, chosen, baseline = (*asked, "bm25")[:3]
    for name in (measure, chosen, baseline):
        assert repr(name) in str(caught.value.args[0])


@pytest.mark.parametrize(("measure", "scale"), [(None, 1), ("nDCG@10", 1), ("P@5", 2)])
def test_gains_go_from_the_greatest_gain_to_the_greatest_loss(measure, scale):
    assert FOUND.gains(ONE, measure) == [
        Gain("q2", 0.25 * scale, 1.0 * scale),
        Gain("q3", 0.0, 0.125 * scale),
        Gain("q1", 0.5 * scale, 0.5 * scale),
    ]
    assert [gain.change for gain in FOUND.gains(TWO, measure)] == [0.25 * scale, 0.0, -0.5 * scale]


def test_equal_gains_keep_the_order_of_the_queries():
    assert [gain.query for gain in FOUND.gains(FIRST)] == ["q1", "q2", "q3"]


@pytest.mark.parametrize("result", [FOUND, ONE, Gain("q", 0.0, 1.0)], ids=["all", "one", "gain"])
def test_results_are_frozen(result):
    name = next(iter(vars(result)))
    with pytest.raises(FrozenInstanceError):
        setattr(result, name, None)
