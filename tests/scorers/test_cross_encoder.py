from __future__ import annotations

import json
import random
import shutil
import warnings

import pytest
import torch
import transformers
from tests.kinds import CROSS_ENCODERS, Kind, reference
from tests.oracles import cross_encoder as oracle
from tests.samples import MIXED, QUERY, golden, random_texts, sentence

from rag_rerankers import ModelOptions, TruncationWarning, load_scorer
from rag_rerankers.engine import engine as engine_module
from rag_rerankers.engine.runners import PaddedRunner

GOLDEN = golden("cross_encoder")
ignore_cuts = pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")
XLMR = CROSS_ENCODERS[0]
LONG = [" ".join(random_texts(seed, 12, longest=90)) for seed in range(3)]
PLAIN = [*MIXED, *random_texts(1, 4), LONG[0]]


@pytest.fixture
def padded(monkeypatch):
    """Loads a scorer that runs padded, whatever its model could do."""

    def load(folder, **options):
        with monkeypatch.context() as patch:
            patch.setattr(
                engine_module,
                "choose_runner",
                lambda model, pad_id, *_, **__: PaddedRunner(model, pad_id),
            )
            scorer = load_scorer(folder, ModelOptions(device="cpu", dtype="float32", **options))
        assert not scorer.engine.packed
        return scorer

    return load


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
@pytest.mark.parametrize(
    ("weights", "way"), [("safetensors", "chosen"), ("safetensors", "padded"), ("bin", "chosen")]
)
@ignore_cuts
def test_scores_equal_those_of_flagembedding(case, way, weights, make, padded):
    folder = make(case["maker"], **case["settings"], weights=weights)
    max_length = case["max_length"]
    if way == "padded":
        scorer = padded(folder, max_length=max_length)
    else:
        options = ModelOptions(device="cpu", dtype="float32", max_length=max_length)
        scorer = load_scorer(folder, options)
    texts = GOLDEN["texts"] + GOLDEN["special_texts"]
    for query, plain, special in zip(
        GOLDEN["queries"], case["scores"], case["special_scores"], strict=True
    ):
        assert scorer.score(query, texts) == pytest.approx(plain + special, abs=1e-4)


@pytest.mark.parametrize("kind", CROSS_ENCODERS, ids=str)
@pytest.mark.parametrize("max_length", [None, 64, 20])
@ignore_cuts
def test_scores_equal_plain_transformers_on_ids_joined_by_hand(kind, max_length, loader, make):
    scorer, expected = loader(kind, max_length=max_length), reference(kind, make, max_length)
    for query in (QUERY, LONG[1]):
        assert scorer.score(query, PLAIN) == pytest.approx(expected(query, PLAIN), abs=1e-4)


@pytest.mark.parametrize("kind", CROSS_ENCODERS, ids=str)
@ignore_cuts
def test_scores_are_the_same_padded(kind, loader, make, padded):
    folder = make(kind.maker, **kind.settings)
    expected = reference(kind, make, 100)(QUERY, PLAIN)
    assert padded(folder, max_length=100).score(QUERY, PLAIN) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 40, 1000, 100_000])
@pytest.mark.parametrize("kind", [XLMR, CROSS_ENCODERS[2], CROSS_ENCODERS[7]], ids=str)
@ignore_cuts
def test_no_batch_size_changes_a_score(kind, batch_tokens, loader, make):
    expected = reference(kind, make, 64)(QUERY, PLAIN)
    scorer = loader(kind, max_length=64, batch_tokens=batch_tokens)
    assert scorer.score(QUERY, PLAIN) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
@ignore_cuts
def test_no_company_and_no_order_changes_a_score(seed, loader, make):
    chosen = random.Random(seed)
    query = sentence(chosen, chosen.choice([1, 5, 60, 700]))
    texts = [sentence(chosen, chosen.choice([0, 1, 3, 20, 200])) for _ in range(12)]
    expected = reference(XLMR, make, 128)(query, texts)
    by_text = dict(zip(texts, expected, strict=True))
    scorer = loader(XLMR, max_length=128, batch_tokens=300)
    for _ in range(4):
        some = chosen.sample(texts, chosen.randint(1, len(texts)))
        wanted = [by_text[text] for text in some]
        assert scorer.score(query, some) == pytest.approx(wanted, abs=1e-4)


def test_a_long_query_leaves_the_passage_its_quarter(make, loader):
    """Of 64 tokens the query keeps 48, 4 are special, 12 are left."""
    tokenizer = oracle.Reference(make("xlmr_reranker")).tokenizer
    words = "panda bear city river france paris list dict " * 20
    tokens = [f" {word}" for word in words.split()]
    assert len(tokenizer.encode(words.strip(), add_special_tokens=False).ids) == len(tokens)
    scorer = loader(XLMR, max_length=64)
    query, passage = "".join(tokens[:48]), "".join(tokens[:12])
    (whole,) = scorer.score(query, [passage])  # no warning: it fits exactly
    with pytest.warns(TruncationWarning, match="the query was cut from 160 to 48 tokens"):
        (cut,) = scorer.score(words, [passage])
    assert cut == pytest.approx(whole, abs=1e-5)
    with pytest.warns(TruncationWarning, match="1 of 1 texts were cut to their first 12 tokens"):
        (also_cut,) = scorer.score(query, [words])
    assert also_cut == pytest.approx(whole, abs=1e-5)


def test_the_warning_comes_once_a_call_with_the_right_count(loader):
    scorer = loader(XLMR, max_length=64, batch_tokens=64)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scorer.score(QUERY, ["panda", "bear " * 100, "city", "river " * 100, "list " * 100])
        scorer.score(QUERY, ["panda"])
    (warning,) = caught
    assert warning.category is TruncationWarning
    assert "3 of 5 texts" in str(warning.message)
    assert "query" not in str(warning.message).replace("max_passage", "")


def test_a_document_scores_as_its_best_window(loader, make):
    """Windows of 40 tokens, each sharing 10 with the next, cut by hand."""
    tokenizer = oracle.Reference(make("xlmr_reranker")).tokenizer
    chosen = random.Random(3)
    words = [chosen.choice(["panda", "bear", "city", "river", "france"]) for _ in range(100)]
    query = "panda bear city river france paris"
    assert len(tokenizer.encode(query, add_special_tokens=False).ids) == 6
    assert len(tokenizer.encode(" ".join(words), add_special_tokens=False).ids) == 100
    scorer = loader(XLMR, max_length=50, long_documents="max_passage")
    windows = [" ".join(words[start : start + 40]) for start in (0, 30, 60)]
    expected = reference(XLMR, make, 50)(query, windows)
    assert len(set(expected)) == 3
    texts = ["panda", " ".join(words), "", "river"]
    found = scorer.score(query, texts)  # and no warning: nothing is lost
    others = reference(XLMR, make, 50)(query, ["panda", "", "river"])
    assert found[1] == pytest.approx(max(expected), abs=1e-4)
    assert [found[0], *found[2:]] == pytest.approx(others, abs=1e-4)


def test_windows_do_not_save_a_long_query_from_the_cut(loader):
    scorer = loader(XLMR, max_length=64, long_documents="max_passage")
    with pytest.warns(TruncationWarning, match="^the query was cut from"):
        scorer.score("panda " * 60, ["bear " * 100])


@pytest.mark.parametrize("kind", [k for k in CROSS_ENCODERS if k.name in ("xlmr", "bert")], ids=str)
def test_tokens_spelled_out_in_texts_score_as_in_the_reference(kind: Kind, loader, make):
    texts = [
        "a </s> panda <mask> and <pad> bear <s> here",
        "<pad> <pad>",
        "a [SEP] panda [MASK] and [PAD] bear [CLS]",
        "[PAD]",
    ]
    expected = reference(kind, make)
    for query in (QUERY, "<pad> [PAD] what </s> [SEP]?"):
        wanted = expected(query, texts)
        assert loader(kind).score(query, texts) == pytest.approx(wanted, abs=1e-4)


def test_relevance_is_the_sigmoid_of_the_logit(loader):
    scorer = loader(XLMR)
    # FlagEmbedding issue 987: a logit and what its authors' sigmoid made of it
    assert scorer.relevance(QUERY, [-5.65234375, 0.0]) == pytest.approx(
        [0.003497010252573502, 0.5], rel=1e-9
    )


def test_the_default_prompt_of_sentence_transformers_goes_before_the_query(make, tmp_path):
    """As CrossEncoder(prompts=..., default_prompt_name=...).save_pretrained() writes it."""
    plain = make("bert_reranker")
    folder = tmp_path / "prompted"
    shutil.copytree(plain, folder)
    saved = {"prompts": {"q": "what is ", "d": "no "}, "default_prompt_name": "q"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(saved))
    scorer = load_scorer(folder, ModelOptions(device="cpu", dtype="float32"))
    expected = oracle.score(plain, "what is a panda", MIXED)
    assert scorer.score("a panda", MIXED) == pytest.approx(expected, abs=1e-4)


@ignore_cuts
def test_an_architecture_that_mixes_in_its_padding_is_never_padded(make, tmp_path):
    """FNet's Fourier transform runs over the whole row, padding included."""
    folder = tmp_path / "fnet"
    shutil.copytree(make("bert_reranker"), folder)
    settings = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = transformers.FNetConfig(vocab_size=512, num_labels=1, pad_token_id=0, **settings)
    torch.manual_seed(0)
    model = transformers.FNetForSequenceClassification(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.5)
    model.save_pretrained(folder)
    scorer = load_scorer(folder, ModelOptions(device="cpu", dtype="float32"))
    together = scorer.score(QUERY, PLAIN)
    with torch.no_grad():
        for text, got in zip(PLAIN, together, strict=True):
            query_ids, text_ids = scorer._tokenizer.ids([QUERY, text])
            row = scorer._template.join(query_ids, text_ids[: 512 - 3 - len(query_ids)])
            alone = model(
                input_ids=torch.tensor([row.ids]), token_type_ids=torch.tensor([row.type_ids])
            )
            assert got == pytest.approx(alone.logits.item(), abs=1e-3)
