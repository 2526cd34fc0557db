from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.kinds import CROSS_ENCODERS, LATE_INTERACTION, reference
from tests.samples import MIXED, QUERY
from tests.stand_ins import Calibrated, Given

from rag_rerankers import (
    ModelLoadError,
    ModelOptions,
    RankedDocument,
    Reranker,
    ScoreError,
)

XLMR, STANFORD = CROSS_ENCODERS[0], LATE_INTERACTION[0]


async def ranked(reranker: Reranker, way: str, *args, **settings) -> list[RankedDocument]:
    if way == "rank":
        return reranker.rank(*args, **settings)
    return await reranker.arank(*args, **settings)


both = pytest.mark.parametrize("way", ["rank", "arank"])


# --- ranking ---


@both
async def test_hits_come_best_first_with_the_callers_index_and_text(way):
    hits = await ranked(Reranker(Given(0.0, 2.0, -1.0)), way, "q", ["a", "b", "c"])
    assert [(hit.index, hit.text, hit.score) for hit in hits] == [
        (1, "b", 2.0),
        (0, "a", 0.0),
        (2, "c", -1.0),
    ]
    assert all(isinstance(hit, RankedDocument) for hit in hits)


@both
async def test_ties_keep_the_order_of_the_input(way):
    hits = await ranked(Reranker(Given(1.0, 3.0, 1.0, 3.0, 1.0)), way, "q", list("abcde"))
    assert [hit.text for hit in hits] == list("bdace")


@both
@pytest.mark.parametrize(
    ("top_n", "expected"), [(None, [1, 2, 0]), (0, []), (1, [1]), (2, [1, 2]), (99, [1, 2, 0])]
)
async def test_top_n_keeps_the_best(way, top_n, expected):
    hits = await ranked(Reranker(Given(0.1, 0.9, 0.5)), way, "q", list("abc"), top_n=top_n)
    assert [hit.index for hit in hits] == expected


def test_without_calibration_relevance_is_the_sigmoid():
    hits = Reranker(Given(0.0, math.log(3), -1000.0)).rank("q", list("abc"))
    assert [hit.relevance for hit in hits] == pytest.approx([0.75, 0.5, 0.0])


@both
@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (None, [2, 1, 0]),
        (0, [2, 1, 0]),
        (0.5, [2, 1]),
        (0.51, [2]),
        (0.875, [2]),
        (0.88, []),
        (1, []),
    ],
)
async def test_the_threshold_is_on_relevance_and_inclusive(way, threshold, expected):
    reranker = Reranker(Calibrated(1.0, 4.0, 7.0))
    hits = await ranked(reranker, way, "q", list("abc"), threshold=threshold)
    assert [hit.index for hit in hits] == expected


def test_threshold_and_top_n_together():
    hits = Reranker(Calibrated(1.0, 4.0, 7.0, 5.0)).rank("q", list("abcd"), top_n=2, threshold=0.5)
    assert [hit.index for hit in hits] == [2, 3]


@pytest.mark.parametrize("scores", [(1, 2), np.array([1.0, 2.0], dtype=np.float32)])
def test_hits_hold_python_numbers_whatever_the_scorer_returns(scores):
    class Numpy:
        def score(self, query, texts):
            return scores

        def relevance(self, query, scores):
            return np.array([0.25, 0.75], dtype=np.float32)

    for hit in Reranker(Numpy()).rank("q", ["a", "b"]):
        assert type(hit.score) is float
        assert type(hit.relevance) is float
        assert type(hit.index) is int


def test_the_scorer_gets_the_query_and_a_list_of_the_texts():
    scorer = Given(1.0, 2.0)
    Reranker(scorer).rank("what?", (text for text in ("a", "b")))
    assert scorer.calls == [("what?", ["a", "b"])]


@pytest.mark.parametrize(
    "texts",
    [["a", "b"], ("a", "b"), (t for t in "ab"), map(str.lower, "AB")],
    ids=["list", "tuple", "generator", "map"],
)
def test_any_iterable_of_texts_will_do(texts):
    assert [hit.text for hit in Reranker(Given(1.0, 2.0)).rank("q", texts)] == ["b", "a"]


@both
async def test_nothing_to_rank_asks_nobody(way):
    scorer = Given()
    assert await ranked(Reranker(scorer), way, "q", []) == []
    assert await ranked(Reranker(scorer), way, "q", iter(())) == []
    assert await ranked(Reranker(scorer), way, "q", ["a"], top_n=0) == []
    assert scorer.calls == []


@both
async def test_empty_strings_are_scored(way):
    scorer = Given(1.0, 2.0)
    hits = await ranked(Reranker(scorer), way, "", ["", "a"])
    assert scorer.calls == [("", ["", "a"])]
    assert [hit.text for hit in hits] == ["a", ""]


# --- bad input ---


@both
@pytest.mark.parametrize(
    ("query", "error", "told"),
    [
        (None, ValueError, "missing"),
        (7, TypeError, "not int: 7"),
        (b"q", TypeError, "not bytes"),
        (["q"], TypeError, r"not list: \['q'\]"),
    ],
)
async def test_a_query_that_is_no_string_is_refused(way, query, error, told):
    with pytest.raises(error, match=told):
        await ranked(Reranker(Given(1.0)), way, query, ["a"])


@both
@pytest.mark.parametrize("bad", [None, 7, b"bytes", ["a"], {"text": "a"}, Path("a")])
async def test_one_bad_text_is_refused_with_its_index_and_value(way, bad):
    with pytest.raises(TypeError, match=f"text 2 is not a string but {type(bad).__name__}") as e:
        await ranked(Reranker(Given(1.0)), way, "q", ["a", "b", bad, None])
    assert repr(bad) in str(e.value)


def test_a_huge_bad_text_does_not_fill_the_message():
    with pytest.raises(TypeError) as caught:
        Reranker(Given(1.0)).rank("q", [["x"] * 10_000])
    assert len(str(caught.value)) < 300


@both
@pytest.mark.parametrize(
    ("texts", "told"),
    [("a b c", "not one str"), (b"abc", "not one bytes"), (None, "not NoneType"), (7, "not int")],
)
async def test_texts_that_are_no_list_are_refused(way, texts, told):
    with pytest.raises(TypeError, match=f"texts must be a list of strings, {told}"):
        await ranked(Reranker(Given(1.0)), way, "q", texts)


@both
@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"top_n": -1}, ValueError),
        ({"top_n": 1.5}, TypeError),
        ({"threshold": 1.5}, ValueError),
        ({"threshold": "0.5"}, TypeError),
    ],
)
async def test_a_bad_setting_is_refused_even_where_there_is_nothing_to_rank(way, settings, error):
    with pytest.raises(error, match=next(iter(settings))):
        await ranked(Reranker(Given()), way, "q", [], **settings)


@both
@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ((1.0, math.nan, 2.0), "at indices 1"),
        ((1.0, 2.0), "2 scores for 3"),
        ((), "0 scores for 3"),
    ],
)
async def test_scores_that_cannot_be_ranked_are_refused(way, scores, told):
    with pytest.raises(ScoreError, match=told):
        await ranked(Reranker(Given(*scores)), way, "q", list("abc"))


@both
async def test_the_scorers_own_error_surfaces_as_it_is(way):
    error = ConnectionResetError("server gone")

    class Broken:
        def score(self, query, texts):
            raise error

    with pytest.raises(ConnectionResetError) as caught:
        await ranked(Reranker(Broken()), way, "q", ["a"])
    assert caught.value is error


# --- construction ---


@pytest.mark.parametrize("model", [None, 7, object(), Given, ["bge-reranker-v2-m3"]])
def test_what_is_no_model_is_refused_with_its_value(model):
    with pytest.raises(TypeError, match="model must be a name, a folder or an object") as caught:
        Reranker(model)
    assert repr(model) in str(caught.value)


def test_options_of_a_ready_scorer_are_refused():
    with pytest.raises(ValueError, match="max_length cannot be set"):
        Reranker(Given(), max_length=512)


def test_an_unknown_model_is_told():
    with pytest.raises(ModelLoadError, match="Did you mean 'colbertv2'"):
        Reranker("colbert-v2")


def test_a_reranker_shows_what_it_is(make):
    folder = make("bert_reranker")
    assert repr(Reranker(Given())) == "Reranker('Given')"
    assert repr(Reranker(folder, device="cpu")) == f"Reranker({str(folder)!r})"
    assert Reranker(folder, device="cpu", max_length=64).options == ModelOptions(
        device="cpu", max_length=64
    )


# --- real models ---


@pytest.mark.parametrize("kind", [XLMR, STANFORD], ids=str)
@pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")
def test_a_real_model_ranks_by_the_reference_scores(kind, loader, make):
    expected = reference(kind, make)(QUERY, MIXED)
    hits = Reranker(loader(kind)).rank(QUERY, MIXED)
    assert [hit.index for hit in hits] == sorted(
        range(len(MIXED)), key=expected.__getitem__, reverse=True
    )
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)
    if kind is XLMR:
        assert hits[0].relevance == pytest.approx(1 / (1 + math.exp(-max(expected))), abs=1e-5)
    else:
        assert hits[0].relevance == pytest.approx(max(expected) / 32, abs=1e-5)


def test_rerankers_that_are_dropped_are_freed(make):
    import gc
    import weakref

    reranker = Reranker(make("bert_reranker"), device="cpu", dtype="float32")
    reranker.rank(QUERY, ["bear"])
    model = weakref.ref(reranker.scorer.engine.model)
    del reranker
    gc.collect()
    assert model() is None, f"{sys.getrefcount(model())} references are left"


@pytest.mark.parametrize("texts", [{"a": 1, "b": 2}, {"a", "b"}], ids=["dict", "set"])
def test_texts_without_an_index_are_refused(texts):
    with pytest.raises(TypeError, match=type(texts).__name__):
        Reranker(Given(1.0, 2.0)).rank("q", texts)


@pytest.mark.parametrize(
    ("relevance", "told"),
    [([0.5], "1 scores for 2"), ([0.5, float("nan")], "indices 1"), ([0.5, 7.0], "7.0 at index 1")],
)
def test_a_scorer_with_a_wrong_relevance_is_told_so(relevance, told):
    class Calibrated(Given):
        def relevance(self, query, scores):
            return relevance

    with pytest.raises(ScoreError, match=told):
        Reranker(Calibrated(1.0, 2.0)).rank("q", ["a", "b"])


@pytest.mark.parametrize("scores", [None, ["high", "low"], 3.0])
def test_scores_that_are_no_numbers_are_told(scores):
    class Wrong:
        def score(self, query, texts):
            return scores

    with pytest.raises(ScoreError, match="a list of one number per text"):
        Reranker(Wrong()).rank("q", ["a", "b"])


def test_numpy_numbers_are_numbers():
    hits = Reranker(Given(1.0, 2.0)).rank(
        "q", ["a", "b"], top_n=np.int64(1), threshold=np.float32(0.1)
    )
    assert [hit.text for hit in hits] == ["b"]
