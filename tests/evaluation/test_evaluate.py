from __future__ import annotations

from dataclasses import replace
from math import log2

import pytest
from tests.evaluation.small import DATA, STAGE, Oracle
from tests.stand_ins import Given, Length

from rag_rerankers import ModelOptions, Reranker
from rag_rerankers.evaluation import Collection, Run, evaluate
from rag_rerankers.evaluation.cost import Probe
from rag_rerankers.evaluation.evaluate import assess, rerank


def evaluated(models=None, data=DATA, stage=STAGE, **settings):
    return evaluate(
        data, models or {"oracle": Oracle()}, first_stage=stage, **{"cost": False, **settings}
    )


# --- quality ---


def test_before_and_after_worked_by_hand():
    found = evaluated(top_k=10)
    (model,) = found.models
    assert (found.first.name, model.name) == ("mine", "oracle")
    assert found.measures == ("nDCG@10", "MRR@10", "Recall@10", "P@5", "AP@10")
    assert dict(found.first.run.rankings) == dict(STAGE.rankings)
    assert model.run.rankings == {"q1": ["d3", "d1", "d2"], "q2": ["d1", "d5", "d4"], "q3": []}
    before = (1 / log2(3) + 2 / log2(4)) / (2 + 1 / log2(3))
    hand = {
        "nDCG@10": ([1 / log2(4), before, 0], [1, 1, 0]),
        "MRR@10": ([1 / 3, 1 / 2, 0], [1, 1, 0]),
        "Recall@10": ([1, 1, 0], [1, 1, 0]),
        "P@5": ([1 / 5, 2 / 5, 0], [1 / 5, 2 / 5, 0]),
        "AP@10": ([1 / 3, (1 / 2 + 2 / 3) / 2, 0], [1, 1, 0]),
    }
    for system, values in ((found.first, 0), (model, 1)):
        for name, expected in hand.items():
            assert [*system.values[name].values()] == pytest.approx(expected[values]), name
            assert system.mean(name) == pytest.approx(sum(expected[values]) / 3)
    difference = found.difference("MRR@10", "oracle")
    assert (difference.before, difference.after) == pytest.approx((5 / 18, 2 / 3))
    assert (difference.wins, difference.losses, difference.ties) == (2, 0, 1)


def test_a_model_that_changes_one_query_is_evaluated():
    only = Run("mine", {**STAGE.rankings, "q2": ["d1", "d5"]})
    difference = evaluated(stage=only).difference("MRR@10", "oracle")
    assert (difference.wins, difference.ties, difference.p_value) == (1, 2, 1.0)


def test_equal_scores_keep_the_order_of_the_first_stage():
    found = evaluated({"none": Oracle(replace(DATA, qrels={key: {} for key in DATA.qrels}))})
    assert found.models[0].run.rankings == STAGE.rankings
    assert found.difference("nDCG@10", "none").delta == 0


def test_documents_without_a_text_stay_behind_in_their_order():
    stage = Run("mine", {"q1": ["x", "d1", "y", "d3"], "q2": ["x"], "q3": []})
    oracle = Oracle()
    found = evaluated({"oracle": oracle}, stage=stage)
    assert found.models[0].run.rankings == {"q1": ["d3", "d1", "x", "y"], "q2": ["x"], "q3": []}
    assert oracle.calls == [("one?", ["text 1", "text 3"])]
    # The first stage keeps them where they were.
    assert found.first.values["MRR@10"]["q1"] == 1 / 4


def test_a_judged_document_that_was_not_found_counts():
    data = replace(DATA, qrels={**DATA.qrels, "q1": {"d3": 1, "d6": 1}})
    found = evaluated({"oracle": Oracle(data)}, data)
    assert found.models[0].values["Recall@10"]["q1"] == 1 / 2


@pytest.mark.parametrize(
    ("top_k", "ranking"), [(1, ["d1"]), (2, ["d1", "d2"]), (3, ["d3", "d1", "d2"])]
)
def test_so_many_candidates_are_reranked(top_k, ranking):
    found = evaluated(top_k=top_k)
    assert found.top_k == top_k
    assert found.models[0].run.rankings["q1"] == ranking
    assert found.first.run.rankings["q1"] == STAGE.rankings["q1"][:top_k]
    assert f"Recall@{top_k}" in found.measures


def test_the_lowest_grade_that_counts():
    found = evaluated(min_grade=2, top_k=10)
    assert found.measures[1] == "MRR(rel=2)@10"
    assert [*found.first.values["MRR(rel=2)@10"].values()] == pytest.approx([0, 1 / 3, 0])


def test_measures_of_ones_own():
    found = evaluated(measures=["P@1", "nDCG@2"], min_grade=2)
    assert found.measures == ("P@1", "nDCG@2")
    assert [*found.models[0].values["P@1"].values()] == [1, 1, 0]
    assert {one.measure for one in found.differences} == {"P@1", "nDCG@2"}


def test_models_are_compared_with_the_first_stage_and_each_other():
    found = evaluated({"best": Oracle(), "worst": Oracle(sign=-1)}, measures=["MRR@10"])
    assert [(one.baseline, one.system) for one in found.differences] == [
        ("mine", "best"),
        ("mine", "worst"),
        ("best", "worst"),
    ]
    # q1: d3 is third; q2: d4, d5, d1.
    assert found.models[1].run.rankings["q2"] == ["d4", "d5", "d1"]
    between = found.difference("MRR@10", "worst", "best")
    assert (between.before, between.after, between.losses) == pytest.approx((2 / 3, 5 / 18, 2))
    assert [(one.first, one.second) for one in found.agreement] == [
        ("mine", "best"),
        ("mine", "worst"),
        ("best", "worst"),
    ]
    assert [one.same_first for one in found.agreement] == pytest.approx([1 / 3, 1.0, 1 / 3])


# --- groups ---


def test_queries_are_grouped_by_language_and_by_the_fields_that_are_asked_for():
    found = evaluated(by=["kind"])
    assert found.groups["language"] == {"de": ["q2"], "en": ["q1", "q3"]}
    assert found.groups["kind"] == {"-": ["q3"], "long": ["q2"], "short": ["q1"]}
    assert found.models[0].mean("MRR@10", found.groups["language"]["en"]) == 1 / 2


def test_an_unknown_field_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="field 'colour'; there are: kind, language"):
        evaluated(by=["colour"])


# --- the work ---


def test_every_query_is_one_call_with_all_its_candidates():
    texts = {f"d{n}": f"text {n}" for n in range(60)}
    queries = {f"q{n}": f"question {n}" for n in range(200)}
    data = Collection("many", texts, queries, qrels={id_: {"d59": 1} for id_ in queries})
    oracle = Oracle(data)
    candidates = [*texts][10:]
    stage = Run("mine", dict.fromkeys(queries, candidates))
    evaluated({"oracle": oracle}, data, stage, measures=["P@1"])
    expected = [texts[id_] for id_ in candidates]
    assert oracle.calls == [(text, expected) for text in queries.values()]


def test_progress_is_told_how_much_there_is():
    told = []

    def progress(description, items, total):
        told.append((description, total))
        return items

    evaluated({"one": Oracle()}, progress=progress)
    assert told == [("reranking by Oracle", 2)]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"top_k": 0}, "top_k must be 1 or more, not 0"),
        ({"measures": ["nDGC@10"]}, "'nDGC@10'"),
        ({"models": ["a", "a"]}, "two models are called 'a'"),
        ({"models": ["a,colour=red"]}, "'colour=red'"),
        ({"min_grade": 0}, "0"),
    ],
)
def test_mistakes_are_told_before_the_work(settings, match):
    oracle = Oracle()
    with pytest.raises(ValueError, match=match):
        evaluated(**{"models": {"oracle": oracle}, **settings})
    assert oracle.calls == []


def test_inputs_are_left_as_they_were():
    before = repr((vars(DATA), vars(STAGE)))
    evaluated(top_k=2)
    assert repr((vars(DATA), vars(STAGE))) == before


# --- parts ---


def test_reranking_alone_returns_the_run_with_its_scores():
    run, cost = rerank(Reranker(Oracle()), DATA, STAGE)
    assert run.name == "Oracle"
    assert run.scores == {"q1": [1.0, 0.0, 0.0], "q2": [2.0, 1.0, 0.0]}
    assert cost.probe == Probe()
    assert (cost.query.calls, cost.query.texts) == (2, 3.0)


@pytest.mark.parametrize("stage", [Run("none", {}), Run("none", {"q1": [], "other": ["d1"]})])
def test_reranking_nothing_costs_nothing(stage):
    run, cost = rerank(Reranker(Length()), DATA, stage)
    assert run.rankings == {"q1": [], "q2": [], "q3": []}
    assert cost is None


def test_rankings_that_are_there_already_are_assessed():
    better = Run("better", {**STAGE.rankings, "q1": ["d3"]})
    found = assess(DATA, STAGE, [(better, None)], top_k=3, measures=["MRR@10", "P@1"])
    assert found.models[0].cost is None
    assert found.difference("P@1", "better").delta == pytest.approx(1 / 3)
    assert {"date", "python", "torch", "ir-measures"} <= {*found.environment}


def test_scores_that_cannot_be_ranked_are_refused():
    with pytest.raises(ValueError, match="score"):
        evaluated({"short": Given(1.0)}, options=ModelOptions())
