from __future__ import annotations

from math import log2
from statistics import fmean

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from rag_rerankers.evaluation import Run, read_run
from rag_rerankers.evaluation.measures import default_measures, measure, parse_measures
from rag_rerankers.evaluation.problems import Problems

QUERIES = [f"q{n}" for n in range(4)]
DOCUMENTS = [*(f"d{n}" for n in range(14)), "D1", "é", "d1é"]
# Equal ones, and two that differ as 64-bit floats only.
SCORES = st.sampled_from([-1.5, 0.0, 0.5, 0.5 + 1e-9, 2.0]) | st.floats(-9, 9, width=16)
QRELS = st.dictionaries(
    st.sampled_from(QUERIES),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(-1, 3), min_size=1),
    min_size=1,
)
RUNS = st.dictionaries(
    st.sampled_from(QUERIES),
    st.dictionaries(st.sampled_from(DOCUMENTS), SCORES, min_size=1),
    min_size=1,
)
PEERS = {
    "nDCG@10": "ndcg_cut_10",
    "P@5": "P_5",
    "Recall@10": "recall_10",
    "AP@10": "map_cut_10",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def first_ten(scores):
    """The first ten as trec_eval sorts them: by 32-bit score, then by id, both falling."""
    ordered = sorted(scores, key=lambda id_: (np.float32(scores[id_]), id_), reverse=True)
    return {id_: scores[id_] for id_ in ordered[:10]}


def by_trec_eval(name, qrels, scores, level):
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {name}, relevance_level=level)
    told = evaluator.evaluate(scores)
    return {id_: told[id_][name] if id_ in told else 0.0 for id_ in qrels}


@given(QRELS, RUNS, st.sampled_from([1, 2]))
def test_values_equal_those_of_trec_eval(folder, qrels, scores, level):
    path = folder / "run.trec"
    rows = [
        f"{query_id} Q0 {doc_id} 0 {score!r} tag\n"
        for query_id, ranking in scores.items()
        for doc_id, score in ranking.items()
    ]
    path.write_text("".join(rows), encoding="utf-8")
    rel = "" if level == 1 else "(rel=2)"
    names = {name.replace("@", f"{rel}@"): peer for name, peer in PEERS.items() if name[0] != "n"}
    names["nDCG@10"] = PEERS["nDCG@10"]
    run = read_run(path, Problems())
    values = measure([*names, f"MRR{rel}@10"], qrels, run)
    for name, peer in names.items():
        # trec_eval's nDCG uses the grades themselves, whatever level counts as relevant.
        expected = by_trec_eval(peer, qrels, scores, 1 if name == "nDCG@10" else level)
        assert values[name] == pytest.approx(expected, abs=1e-9), name
    cut = {id_: first_ten(ranking) for id_, ranking in scores.items()}
    expected = by_trec_eval("recip_rank", qrels, cut, level)
    assert values[f"MRR{rel}@10"] == pytest.approx(expected, abs=1e-9)


def test_ndcg_worked_by_hand():
    run = Run("mine", {"q": ["one", "unjudged", "three"]})
    qrels = {"q": {"one": 1, "two": 2, "three": 3, "none": 0, "junk": -1}}
    found = 1 / log2(2) + 3 / log2(4)
    ideal = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)
    assert measure(["nDCG@10"], qrels, run) == {"nDCG@10": {"q": pytest.approx(found / ideal)}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # Relevant: 2nd, 4th and one that is not ranked.
        ("MRR@10", 1 / 2),
        ("MRR@1", 0),
        ("RR@10", 1 / 2),
        ("MRR(rel=2)@10", 1 / 4),
        ("MRR", 1 / 2),
        ("Recall@3", 1 / 3),
        ("Recall(rel=2)@10", 1 / 2),
        ("R@10", 2 / 3),
        ("P@5", 2 / 5),
        ("Precision@2", 1 / 2),
        ("MAP@10", (1 / 2 + 2 / 4) / 3),
        ("MAP", (1 / 2 + 2 / 4) / 3),
        ("AP(rel=2)@10", 1 / 4 / 2),
    ],
)
def test_measures_worked_by_hand_and_their_common_names(name, value):
    run = Run("mine", {"q": ["a", "b", "c", "d"]})
    values = measure([name], {"q": {"a": 0, "b": 1, "d": 2, "z": 3}}, run)
    assert values == {name: {"q": pytest.approx(value)}}


def test_two_names_of_one_measure_stand_beside_each_other():
    values = measure(["MRR@10", "P@1", "RR@10"], {"q": {"b": 1}}, Run("r", {"q": ["a", "b"]}))
    assert list(values) == ["MRR@10", "P@1", "RR@10"]
    assert values["MRR@10"] == values["RR@10"] == {"q": 0.5}


def test_the_order_of_the_run_counts_and_not_its_scores():
    run = Run("mine", {"q": ["b", "a"]}, {"q": [1.0, 2.0]})
    tied = Run("mine", {"q": ["b", "a"]}, {"q": [1.0, 1.0]})
    for each in (run, tied):
        assert measure(["MRR@10"], {"q": {"b": 1}}, each) == {"MRR@10": {"q": 1.0}}


@pytest.mark.parametrize("rankings", [{"q1": ["a"], "q2": []}, {"q1": ["a"]}], ids=str)
def test_the_mean_counts_queries_without_a_ranking_as_0(rankings):
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}}
    for name, values in measure(default_measures(10), qrels, Run("r", rankings)).items():
        assert list(values) == ["q1", "q2"]
        # One of five places is filled.
        assert fmean(values.values()) == (0.1 if name == "P@5" else 0.5), name


def test_a_run_without_any_ranking_has_values_too():
    assert measure(["P@1"], {"q": {"a": 1}}, Run("r", {})) == {"P@1": {"q": 0.0}}


def test_rankings_of_queries_that_are_not_judged_do_not_count():
    run = Run("r", {"q": ["a"], "other": ["a"]})
    assert measure(["P@1"], {"q": {"a": 1}}, run) == {"P@1": {"q": 1.0}}


def test_inputs_are_left_as_they_were():
    run, qrels = Run("r", {"q": ["a"]}), {"q": {"a": 1}, "p": {"a": 1}}
    measure(["P@1", "nDCG@10"], qrels, run)
    assert run == Run("r", {"q": ["a"]})
    assert qrels == {"q": {"a": 1}, "p": {"a": 1}}


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((100,), ["nDCG@10", "MRR@10", "Recall@10", "Recall@100", "P@5", "AP@100"]),
        ((10,), ["nDCG@10", "MRR@10", "Recall@10", "P@5", "AP@10"]),
        (
            (50, 2),
            [
                "nDCG@10",
                "MRR(rel=2)@10",
                "Recall(rel=2)@10",
                "Recall(rel=2)@50",
                "P(rel=2)@5",
                "AP(rel=2)@50",
            ],
        ),
    ],
)
def test_default_measures_follow_the_candidates_and_the_grade(arguments, names):
    assert list(default_measures(*arguments)) == names
    assert list(parse_measures(names)) == names


@pytest.mark.parametrize("name", ["nDGC@10", "nDCG@ten", "", "nDCG@10 junk", "P@5, P@1", "10"])
def test_an_unknown_measure_is_named(name):
    with pytest.raises(ValueError, match=r"Known are nDCG@10") as caught:
        parse_measures(["P@1", name])
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["nDCG@0", "P@0", "P", "Recall", "P(rel=0)@5"])
def test_a_measure_that_cannot_be_had_is_refused_before_the_work(name):
    with pytest.raises(ValueError, match="Known are") as caught:
        parse_measures([name])
    assert repr(name) in str(caught.value)
