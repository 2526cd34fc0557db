from __future__ import annotations

import json
import math
import random
import shutil
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kinds import LATE_INTERACTION, reference
from tests.oracles import colbert as oracle
from tests.samples import MIXED, QUERY, golden, random_texts, sentence

from rag_rerankers import ModelOptions, TruncationWarning, load_scorer
from rag_rerankers.engine import engine as engine_module
from rag_rerankers.engine.runners import PaddedRunner
from rag_rerankers.scorers import comparison

COLBERT = golden("colbert")
MULTI = golden("multivector")
MULTI_CASES = [case for peer in MULTI["peers"].values() for case in peer["cases"]]
COLBERTS = [kind for kind in LATE_INTERACTION if kind.oracle == "colbert"]
STANFORD = LATE_INTERACTION[0]
PLAIN = [*MIXED, *random_texts(2, 4), " ".join(random_texts(3, 12, longest=90))]
FP32 = ModelOptions(device="cpu", dtype="float32")
ignore_cuts = pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")


@pytest.fixture
def run_padded(monkeypatch):
    monkeypatch.setattr(
        engine_module,
        "choose_runner",
        lambda model, pad_id, *_, **__: PaddedRunner(model, pad_id),
    )


@pytest.fixture
def way(request):
    """How the engine runs the model: its own choice, or padded in any case."""
    if request.param == "padded":
        request.getfixturevalue("run_padded")
    return request.param


both_ways = pytest.mark.parametrize("way", ["chosen", "padded"], indirect=True)


def check_golden(scorer, read, case) -> None:
    texts = read["texts"] + read["special_texts"]
    for query, plain, special in zip(
        read["queries"], case["scores"], case["special_scores"], strict=True
    ):
        # Vectors that are not normalised make scores in the thousands: float32 has 7 digits.
        wanted = pytest.approx(plain + special, abs=1e-4, rel=1e-6)
        assert scorer.score(query, texts) == wanted


# --- equal to the peers' own code ---


@pytest.mark.parametrize("case", COLBERT["cases"], ids=lambda case: case["name"])
@pytest.mark.parametrize(
    ("weights", "way"),
    [("safetensors", "chosen"), ("safetensors", "padded"), ("bin", "chosen")],
    indirect=["way"],
)
@pytest.mark.usefixtures("way")
@ignore_cuts
def test_scores_equal_those_of_colbert_ai(case, weights, make):
    folder = make("stanford_colbert", **case["settings"], weights=weights)
    check_golden(load_scorer(folder, FP32), COLBERT, case)


@pytest.mark.parametrize("case", MULTI_CASES, ids=lambda case: case["name"])
@both_ways
@pytest.mark.usefixtures("way")
@ignore_cuts
def test_scores_equal_those_of_pylate_and_sentence_transformers(case, make):
    check_golden(load_scorer(make(case["maker"], **case["settings"]), FP32), MULTI, case)


@pytest.mark.parametrize("kind", COLBERTS, ids=str)
@pytest.mark.parametrize("batch_tokens", [1, 40, 1000, None])
@ignore_cuts
def test_every_layout_equals_colbert_ai_whatever_the_batch(kind, batch_tokens, loader):
    """The layouts hold the weights of Stanford's, for which colbert-ai recorded its scores."""
    scorer = loader(kind, batch_tokens=batch_tokens)
    case = COLBERT["cases"][0]
    for query, expected in zip(COLBERT["queries"], case["scores"], strict=True):
        assert scorer.score(query, COLBERT["texts"]) == pytest.approx(expected, abs=1e-4)


def test_a_checkpoint_with_a_buffer_of_positions_loads(make):
    """As checkpoints from before transformers 4.31 have it."""
    old, new = make("stanford_colbert", position_ids=True), make("stanford_colbert")
    assert load_scorer(old, FP32).score(QUERY, ["bear"]) == load_scorer(new, FP32).score(
        QUERY, ["bear"]
    )


# --- equal to independent transcriptions ---


@pytest.mark.parametrize("kind", LATE_INTERACTION, ids=str)
@pytest.mark.parametrize(
    ("max_length", "way"),
    [(None, "chosen"), (None, "padded"), (40, "chosen"), (8, "chosen")],
    indirect=["way"],
)
@pytest.mark.usefixtures("way")
@ignore_cuts
def test_scores_equal_the_transcription_on_random_texts(kind, max_length, make):
    folder = make(kind.maker, **kind.settings)
    options = ModelOptions(device="cpu", dtype="float32", max_length=max_length)
    scorer, expected = load_scorer(folder, options), reference(kind, make, max_length)
    for query in (QUERY, "", "bear " * 70):
        assert scorer.score(query, PLAIN) == pytest.approx(expected(query, PLAIN), abs=1e-4)


@pytest.fixture(scope="session")
def stanford(make, loader):
    return loader(STANFORD, batch_tokens=200), oracle.Reference(make("stanford_colbert"))


@given(query=st.text(max_size=80), texts=st.lists(st.text(max_size=120), max_size=5))
@ignore_cuts
def test_any_text_at_all_scores_as_in_the_transcription(stanford, query, texts):
    scorer, expected = stanford
    assert scorer.score(query, texts) == pytest.approx(expected.score(query, texts), abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
@ignore_cuts
def test_no_company_and_no_order_changes_a_score(seed, stanford):
    scorer, expected = stanford
    chosen = random.Random(seed)
    query = sentence(chosen, chosen.choice([1, 5, 60]))
    texts = [sentence(chosen, chosen.choice([0, 1, 3, 20, 200])) for _ in range(12)]
    by_text = dict(zip(texts, expected.score(query, texts), strict=True))
    for _ in range(4):
        some = chosen.sample(texts, chosen.randint(1, len(texts)))
        wanted = [by_text[text] for text in some]
        assert scorer.score(query, some) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("query", ["what [PAD] is [PAD]", "[PAD]", "[MASK] [SEP] [PAD] bear"])
def test_tokens_spelled_out_in_a_query_score_as_in_the_reference(stanford, query):
    scorer, expected = stanford
    texts = ["a bear", "[PAD] river", ""]
    assert scorer.score(query, texts) == pytest.approx(expected.score(query, texts), abs=1e-4)


def test_a_tokenizer_without_special_tokens_scores_even_nothing(make, tmp_path):
    """Empty texts, and texts of skipped punctuation only, must not score -inf."""
    folder = Path(shutil.copytree(make("pylate_colbert", prefixes=["", ""]), tmp_path / "model"))
    for name, change in {
        "tokenizer.json": {"post_processor": None},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
    }.items():
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change))
    scorer = load_scorer(folder, FP32)
    assert scorer.recipe.before == scorer.recipe.after == ()
    scores = scorer.score(QUERY, ["", "...", "bear", "bear."])
    assert all(math.isfinite(score) for score in scores)
    assert all(math.isfinite(score) for score in scorer.score("", ["", "bear"]))


@ignore_cuts
def test_documents_are_compared_batch_by_batch_with_the_same_scores(make, stanford, monkeypatch):
    """The vectors of thousands of documents are never in memory at the same time."""
    _, expected = stanford
    options = ModelOptions(device="cpu", dtype="float32", batch_tokens=64)
    scorer = load_scorer(make("stanford_colbert"), options)
    sizes = []
    plain = comparison.maxsim

    def counting(query, documents, lengths):
        sizes.append(len(documents))
        return plain(query, documents, lengths)

    monkeypatch.setattr(comparison, "maxsim", counting)
    assert scorer.score(QUERY, PLAIN) == pytest.approx(expected.score(QUERY, PLAIN), abs=1e-4)
    assert len(sizes) > 3
    assert all(size <= 180 for size in sizes), "more than one text that is longer than the budget"


# --- long texts ---


def test_a_text_that_fits_exactly_is_not_cut(loader):
    """Of 20 tokens 3 are special: [CLS], the marker, [SEP]."""
    scorer = loader(STANFORD, max_length=20)
    scorer.score(QUERY, ["bear " * 17])  # a warning would be an error
    with pytest.warns(TruncationWarning, match="1 of 2 texts were cut to their first 17 tokens"):
        scorer.score(QUERY, ["bear " * 18, "bear"])


def test_a_long_query_is_cut_to_its_32_tokens(loader):
    scorer = loader(STANFORD)
    (whole,) = scorer.score("panda " * 29, ["bear"])
    with pytest.warns(TruncationWarning, match="the query was cut from 31 to 29 tokens"):
        (cut,) = scorer.score("panda " * 29 + "city river", ["bear"])
    assert cut == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("kind", LATE_INTERACTION, ids=str)
def test_the_warning_comes_once_a_call_with_the_right_count(kind, loader):
    scorer = loader(kind, max_length=60, batch_tokens=64)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scorer.score("panda", ["panda", "bear " * 100, "city", "river " * 100, "list " * 100])
        scorer.score("panda", ["panda"])
    (warning,) = caught
    assert warning.category is TruncationWarning
    assert "3 of 5 texts" in str(warning.message)


@pytest.mark.parametrize("kind", [*COLBERTS, LATE_INTERACTION[6]], ids=str)
def test_a_document_scores_as_its_best_window(kind, loader, make):
    """Windows of 40 tokens, each sharing 10 with the next, cut by hand."""
    marked = kind.oracle == "colbert"
    max_length = 40 + 2 + marked  # [CLS], [SEP] and perhaps a marker
    chosen = random.Random(4)
    words = [chosen.choice(["panda", "bear", "city", "river", "france"]) for _ in range(100)]
    windows = [" ".join(words[start : start + 40]) for start in (0, 30, 60)]
    expected = reference(kind, make, max_length)
    best = expected(QUERY, windows)
    assert len(set(best)) == 3
    scorer = loader(kind, max_length=max_length, long_documents="max_passage")
    found = scorer.score(QUERY, ["panda", " ".join(words), "", "river"])  # and no warning
    assert found[1] == pytest.approx(max(best), abs=1e-4)
    others = expected(QUERY, ["panda", "", "river"])
    assert [found[0], *found[2:]] == pytest.approx(others, abs=1e-4)


# --- relevance ---


@pytest.mark.parametrize("kind", COLBERTS, ids=str)
def test_relevance_is_the_mean_over_all_32_query_vectors_clipped(kind, loader):
    found = loader(kind).relevance(QUERY, [32.0, 16.0, 0.0, -3.0, 40.0])
    assert found == pytest.approx([1.0, 0.5, 0.0, 0.0, 1.0])


def test_relevance_of_a_plain_encoder_is_the_mean_over_the_querys_own_tokens(loader):
    # [CLS] what is panda [SEP]
    found = loader(LATE_INTERACTION[6]).relevance("what is panda", [5.0, 2.5, -1.0])
    assert found == pytest.approx([1.0, 0.5, 0.0])


def test_a_mean_of_maxima_is_relevance_already(make):
    scorer = load_scorer(make("st_multivector", similarity="meanmaxsim"), FP32)
    plain = load_scorer(make("st_multivector"), FP32)
    (mean,), (total,) = scorer.score(QUERY, ["bear"]), plain.score(QUERY, ["bear"])
    assert mean == pytest.approx(total / 32, abs=1e-6)
    assert scorer.relevance(QUERY, [mean]) == pytest.approx(plain.relevance(QUERY, [total]))


def test_skipped_query_tokens_do_not_count_in_the_mean(make, tmp_path):
    folder = Path(shutil.copytree(make("st_multivector"), tmp_path / "model"))
    path = folder / "2_MultiVectorMask" / "config.json"
    path.write_text(
        json.dumps({"skiplist_words": ["?", "!"], "skiplist_tasks": ["query", "document"]})
    )
    scorer = load_scorer(folder, FP32)
    assert scorer.relevance("panda?!?", [29.0]) == pytest.approx([1.0])
    (score,) = scorer.score("panda?!?", ["panda"])
    assert 0 < score <= 29
