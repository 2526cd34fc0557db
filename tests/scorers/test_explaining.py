from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.kinds import LATE_INTERACTION, reference
from tests.oracles import colbert
from tests.samples import MIXED, NASTY, QUERY

from rag_rerankers import ModelOptions, TruncationWarning, load_scorer
from rag_rerankers.explanation import Token, TokenMatch
from rag_rerankers.scorers.explaining import match, with_skipped
from rag_rerankers.scorers.late_interaction import LateInteractionScorer
from rag_rerankers.scorers.token_encoder import TokenEncoder
from rag_rerankers.tokenization import TextTokenizer
from tests import token_vectors

STANFORD, PYLATE, PLAIN = (LATE_INTERACTION[i] for i in (0, 2, 6))
FP32 = ModelOptions(device="cpu", dtype="float32")
ignore_cuts = pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")


def texts_of(tokens) -> list[str]:
    return [token.text for token in tokens]


# --- figures ---


@pytest.mark.parametrize("kind", LATE_INTERACTION, ids=str)
@ignore_cuts
def test_the_similarities_add_up_to_the_reference_score(kind, loader, make):
    scorer = loader(kind)
    for query in (QUERY, "", "bear " * 40):
        expected = reference(kind, make)(query, MIXED)
        for text, score in zip(MIXED, expected, strict=True):
            explanation = scorer.explain(query, text)
            total = sum(match.similarity for match in explanation.matches)
            assert total == pytest.approx(score, abs=1e-4)
            assert explanation.score == pytest.approx(score, abs=1e-4)
            assert sum(explanation.contributions) == pytest.approx(score, abs=1e-4)
            assert explanation.relevance == scorer.relevance(query, [explanation.score])[0]


def compared(explanation) -> np.ndarray:
    """The matrix without the columns of skipped tokens."""
    found = np.array(explanation.similarities)
    skipped = [token.kind == "skipped" for token in explanation.tokens]
    assert np.isneginf(found).all(axis=0).tolist() == skipped
    return found[:, ~np.array(skipped)]


@pytest.mark.parametrize("text", MIXED)
def test_the_matrix_is_that_of_the_transcriptions_vectors(text, loader, make):
    colbert_ai = colbert.Reference(make("stanford_colbert"))
    expected = colbert_ai.query_vectors(QUERY) @ colbert_ai.document_vectors(text).T
    found = compared(loader(STANFORD).explain(QUERY, text))
    assert found == pytest.approx(expected.numpy(), abs=1e-5)

    plain = token_vectors.Reference(make(PLAIN.maker))
    found = compared(loader(PLAIN).explain(QUERY, text))
    assert found == pytest.approx(plain.vectors(QUERY) @ plain.vectors(text).T, abs=1e-5)


@pytest.mark.parametrize("kind", LATE_INTERACTION, ids=str)
def test_each_match_is_the_best_of_its_row(kind, loader):
    explanation = loader(kind).explain(QUERY, MIXED[1])
    for found, row in zip(explanation.matches, explanation.similarities, strict=True):
        assert found.similarity == max(row) == row[found.index]
        assert found.matched is explanation.tokens[found.index]


def test_of_equal_similarities_the_first_counts():
    a, b, c = (Token(letter, "text") for letter in "abc")
    found = match([a, b], [a, b, c], [(0.1, 0.7, 0.7), (-0.2, -0.3, -0.2)])
    assert found == (TokenMatch(a, b, 1, 0.7), TokenMatch(b, a, 0, -0.2))


def test_skipped_tokens_have_columns_of_minus_infinity():
    tokens = [Token("a", "text"), Token(".", "skipped"), Token("b", "special")]
    found = with_skipped(torch.tensor([[0.5, -0.25], [1.0, 0.0]]), tokens)
    assert found == ((0.5, -math.inf, -0.25), (1.0, -math.inf, 0.0))


def test_a_mean_is_the_mean(make):
    scorer = load_scorer(make("st_multivector", similarity="meanmaxsim"), FP32)
    explanation = scorer.explain(QUERY, "bear")
    assert explanation.mean
    similarities = [match.similarity for match in explanation.matches]
    assert len(similarities) == 32
    assert explanation.score == pytest.approx(sum(similarities) / 32, abs=1e-6)
    assert explanation.score == pytest.approx(scorer.score(QUERY, ["bear"])[0], abs=1e-6)
    assert sum(explanation.contributions) == pytest.approx(explanation.score, abs=1e-6)


# --- tokens ---


@pytest.mark.parametrize(
    ("kind", "marker"), [(STANFORD, "[unused0]"), (PYLATE, "[Q]")], ids=["stanford", "pylate"]
)
def test_the_tokens_of_a_query_worked_by_hand(kind, marker, loader):
    asked = [match.token for match in loader(kind).explain("What is\ta PANDA?", "bear").matches]
    assert asked[:2] == [Token("[CLS]", "special"), Token(marker, "special")]
    assert asked[2:8] == [
        Token("What", "text", (0, 4)),
        Token("is", "text", (5, 7)),
        Token("a", "text", (8, 9)),
        Token("PANDA", "text", (10, 15)),
        Token("?", "text", (15, 16)),
        Token("[SEP]", "special"),
    ]
    assert asked[8:] == [Token("[MASK]", "expansion")] * 24


@pytest.mark.parametrize(
    ("kind", "marker"), [(STANFORD, "[unused1]"), (PYLATE, "[D]")], ids=["stanford", "pylate"]
)
def test_the_tokens_of_a_text_worked_by_hand(kind, marker, loader):
    explanation = loader(kind).explain("panda", "  Bear, 東.")
    assert explanation.tokens == (
        Token("[CLS]", "special"),
        Token(marker, "special"),
        Token("Bear", "text", (2, 6)),  # PyLate drops the white space before
        Token(",", "skipped", (6, 7)),
        Token("東", "text", (8, 9)),
        Token(".", "skipped", (9, 10)),
        Token("[SEP]", "special"),
    )
    assert explanation.passage == (2, 10)
    assert not any(match.matched.kind == "skipped" for match in explanation.matches)


def test_a_plain_encoder_has_neither_marker_nor_filling(loader):
    explanation = loader(PLAIN).explain("a panda", "bear!")
    assert texts_of(match.token for match in explanation.matches) == [
        "[CLS]",
        "a",
        "panda",
        "[SEP]",
    ]
    assert texts_of(explanation.tokens) == ["[CLS]", "bear", "!", "[SEP]"]


def test_a_prompt_that_is_ordinary_text_is_special_and_shifts_nothing(make):
    folder = make("st_multivector", prompts=("search query ", "passage - "), special_prompts=False)
    explanation = load_scorer(folder, FP32).explain("the panda", " bear city")
    asked = [match.token for match in explanation.matches]
    assert asked[1:5] == [
        Token("search", "special"),
        Token("query", "special"),
        Token("the", "text", (0, 3)),
        Token("panda", "text", (4, 9)),
    ]
    assert explanation.tokens[1:5] == (
        Token("passage", "special"),
        Token("-", "skipped"),
        Token("bear", "text", (1, 5)),
        Token("city", "text", (6, 10)),
    )


def test_skipped_tokens_of_a_query_have_no_match(make, tmp_path):
    folder = Path(shutil.copytree(make("st_multivector"), tmp_path / "model"))
    path = folder / "2_MultiVectorMask" / "config.json"
    path.write_text(json.dumps({"skiplist_words": ["?"], "skiplist_tasks": ["query", "document"]}))
    scorer = load_scorer(folder, FP32)
    explanation = scorer.explain("panda? bear?", "panda?")
    assert [match.token.span for match in explanation.matches if match.token.kind == "text"] == [
        (0, 5),
        (7, 11),
    ]
    assert len(explanation.matches) == 30
    assert explanation.score == pytest.approx(scorer.score("panda? bear?", ["panda?"])[0], abs=1e-4)


def test_bytes_of_one_character_share_its_span(make):
    scorer = load_scorer(make("modernbert_encoder"), FP32)
    explanation = scorer.explain("the 🐼", "é in")
    assert [(t.text, t.span) for t in explanation.tokens if t.kind == "text"] == [
        ("é", (0, 1)),
        ("é", (0, 1)),
        ("␣", (1, 2)),
        ("in", (2, 4)),
    ]
    asked = [match.token for match in explanation.matches if match.token.kind == "text"]
    assert texts_of(asked) == ["the", "␣", *["🐼"] * 4]


@pytest.mark.parametrize("kind", LATE_INTERACTION, ids=str)
@ignore_cuts
def test_any_unicode_is_explained_with_spans_of_the_callers_string(kind, loader):
    scorer = loader(kind)
    for name, text in NASTY.items():
        explanation = scorer.explain(text, text)
        assert (explanation.query, explanation.text) == (text, text)
        assert explanation.score == pytest.approx(scorer.score(text, [text])[0], abs=1e-4), name
        for token in [*explanation.tokens, *(one.token for one in explanation.matches)]:
            assert token.text.strip()
            if token.span is not None:
                assert token.text in (text[slice(*token.span)], "␣")


def test_a_tokenizer_without_special_tokens_explains_even_nothing(make, tmp_path):
    folder = Path(shutil.copytree(make("pylate_colbert", prefixes=["", ""]), tmp_path / "model"))
    for name, change in {
        "tokenizer.json": {"post_processor": None},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
    }.items():
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change))
    scorer = load_scorer(folder, FP32)
    assert scorer.explain(QUERY, "").tokens == (Token("[UNK]", "special"),)
    # Punctuation alone: the first is compared after all, as there is nothing else.
    assert [token.kind for token in scorer.explain(QUERY, "..").tokens] == ["text", "skipped"]
    explanation = scorer.explain("", "bear")
    assert explanation.matches[0].token == Token("[UNK]", "special")
    assert explanation.matches[1].token == Token("[MASK]", "expansion")


class Slow:
    """A tokenizer that cannot tell where its tokens stand."""

    is_fast = False

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts, **settings):
        return self._tokenizer(texts, **settings)

    def convert_ids_to_tokens(self, id_):
        return self._tokenizer.convert_ids_to_tokens(id_)


def test_a_slow_tokenizer_leaves_tokens_without_spans(make, loader):
    from transformers import AutoTokenizer

    fast = loader(STANFORD)
    slow = TextTokenizer(Slow(AutoTokenizer.from_pretrained(make("stanford_colbert"))))
    projection = fast.encoder._projection
    scorer = LateInteractionScorer(TokenEncoder(fast.engine, slow, fast.recipe, projection))
    explanation = scorer.explain("panda", "Bearing, pandas")
    assert explanation.tokens[2:-1] == (
        Token("bear", "text"),
        Token("ing", "text"),
        Token(",", "skipped"),
        Token("panda", "text"),
        Token("s", "text"),
    )
    assert explanation.passage is None
    assert explanation.score == fast.explain("panda", "Bearing, pandas").score


# --- long texts ---


def test_a_text_that_is_cut_is_told_and_explained_as_far_as_it_is_read(loader):
    scorer = loader(STANFORD, max_length=10)  # [CLS], marker, 7 tokens, [SEP]
    with pytest.warns(TruncationWarning, match="1 of 1 texts were cut to their first 7 tokens"):
        explanation = scorer.explain("panda", "bear " * 8)
    assert explanation.passage == (0, 34)
    assert len(explanation.tokens) == 10


def test_a_query_that_is_cut_is_told(loader):
    with pytest.warns(TruncationWarning, match="the query was cut from 30 to 29 tokens"):
        explanation = loader(STANFORD).explain("panda " * 30, "bear")
    assert explanation.matches[-2].token.span == (168, 173)
    assert explanation.matches[-1].token == Token("[SEP]", "special")


@pytest.mark.parametrize("query", ["panda", "bear in a city", "river france"])
def test_of_a_long_text_the_best_window_is_explained(query, loader, make):
    """Windows of 40 tokens, each sharing 10 with the next, cut by hand."""
    words = ["panda", "bear", "city", "river", "france", "python", "rust"]
    words = [words[(n * n + n // 7) % 7] for n in range(100)]
    windows = [" ".join(words[start : start + 40]) for start in (0, 30, 60)]
    scores = reference(STANFORD, make, 43)(query, windows)
    best = scores.index(max(scores))
    scorer = loader(STANFORD, max_length=43, long_documents="max_passage")
    explanation = scorer.explain(query, " ".join(words))
    assert explanation.score == pytest.approx(max(scores), abs=1e-4)
    start, end = explanation.passage
    assert explanation.text[start:end] == windows[best]
    assert start == len(" ".join([*words[: 30 * best], ""]))
    assert [token.text for token in explanation.tokens[2:-1]] == windows[best].split()
