from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.kinds import KINDS
from tests.test_weights import Payload

from rag_rerankers import (
    ModelLoadError,
    ModelOptions,
    Reranker,
    UnsafeWeightsError,
    load_scorer,
)
from rag_rerankers.scorers.cross_encoder import CrossEncoderScorer
from rag_rerankers.scorers.late_interaction import LateInteractionScorer

FP32 = ModelOptions(device="cpu", dtype="float32")


@pytest.fixture
def copy(make, tmp_path):
    def copied(maker: str, **settings) -> Path:
        return Path(shutil.copytree(make(maker, **settings), tmp_path / "model"))

    return copied


def edit(path: Path, **values) -> None:
    read = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(read | values), encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_kind_of_a_model_is_read_off_its_files(kind, loader):
    expected = {"cross-encoder": CrossEncoderScorer, "late-interaction": LateInteractionScorer}
    assert type(loader(kind)) is expected[kind.family]


@pytest.mark.parametrize("model", [str, Path, lambda folder: f"{folder}/"])
def test_a_folder_may_be_a_string_or_a_path(make, model):
    assert isinstance(load_scorer(model(make("bert_reranker")), FP32), CrossEncoderScorer)


def test_what_was_chosen_is_logged(make, caplog):
    folder = make("bert_reranker")
    with caplog.at_level(logging.INFO, "rag_rerankers"):
        load_scorer(folder, FP32)
    (line,) = (r.getMessage() for r in caplog.records if r.name.endswith("loading"))
    for told in (str(folder), "cross-encoder", "cpu", "float32", "512 tokens"):
        assert told in line
    assert "packed" in line or "padded" in line


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_scorer_runs_in_the_dtype_that_was_asked_for(make, dtype):
    scorer = load_scorer(make("bert_reranker"), ModelOptions(device="cpu", dtype=dtype))
    assert scorer.engine.dtype == getattr(torch, dtype)
    assert len(scorer.score("panda", ["bear", "river"])) == 2


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_users_limits_reach_the_scorer(kind, loader):
    scorer = loader(kind, max_length=48, batch_tokens=99, long_documents="max_passage")
    assert scorer.max_length == 48
    assert scorer.engine.batch_tokens == 99
    assert scorer.long_documents == "max_passage"


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_more_than_a_model_can_read_is_refused(kind, make):
    folder = make(kind.maker, **kind.settings)
    options = ModelOptions(device="cpu", dtype="float32", max_length=kind.longest + 1)
    with pytest.raises(ValueError, match=f"{kind.longest + 1} is more than the {kind.longest}"):
        load_scorer(folder, options)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_as_much_as_a_model_can_read_is_read(kind, loader):
    scorer = loader(kind, max_length=kind.longest, long_documents="max_passage")
    (score,) = scorer.score("panda", ["bear " * (kind.longest + 40)])
    assert score == score


def test_a_cross_encoder_without_room_for_a_passage_is_refused(make):
    options = ModelOptions(device="cpu", dtype="float32", max_length=19)
    with pytest.raises(ValueError, match="use 20 or more"):
        load_scorer(make("xlmr_reranker"), options)
    load_scorer(make("xlmr_reranker"), ModelOptions(device="cpu", max_length=20))


def test_a_late_interaction_model_without_room_for_text_is_refused(make):
    options = ModelOptions(device="cpu", dtype="float32", max_length=3)
    with pytest.raises(ValueError, match=r"max_length 3 leaves no room .* use 4 or more"):
        load_scorer(make("stanford_colbert"), options)
    load_scorer(make("stanford_colbert"), ModelOptions(device="cpu", max_length=4))


# --- what is no reranker ---


def test_a_classifier_with_two_labels_is_refused(make):
    with pytest.raises(ModelLoadError, match="has 2 labels: a reranker has one"):
        load_scorer(make("two_label_reranker"), FP32)


@pytest.mark.parametrize(
    "architecture",
    ["LlamaForCausalLM", "T5ForConditionalGeneration", "GPT2LMHeadModel"],
)
def test_a_model_that_generates_text_is_refused_by_name(copy, architecture):
    folder = copy("bert_encoder")
    edit(folder / "config.json", architectures=[architecture])
    with pytest.raises(ModelLoadError, match="generates text") as caught:
        load_scorer(folder, FP32)
    assert architecture in str(caught.value)


def test_an_encoder_decoder_without_a_name_is_refused(copy):
    folder = copy("bert_encoder")
    edit(folder / "config.json", architectures=None, is_encoder_decoder=True)
    with pytest.raises(ModelLoadError, match="generates text"):
        load_scorer(folder, FP32)


def test_an_encoder_that_says_it_is_a_cross_encoder_is_refused(copy):
    folder = copy("bert_encoder")
    edit(
        folder / "config.json",
        architectures=["BertForSequenceClassification"],
        id2label={"0": "LABEL_0"},
        label2id={"LABEL_0": 0},
    )
    with pytest.raises(ModelLoadError, match=r"classifier\.(bias|weight)"):
        load_scorer(folder, FP32)


def test_an_encoder_without_a_head_is_scored_but_said_so(make, caplog):
    with caplog.at_level(logging.WARNING, "rag_rerankers"):
        load_scorer(make("bert_encoder"), FP32)
    assert "no reranking head" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "rag_rerankers"):
        load_scorer(make("pylate_colbert"), FP32)
    assert "no reranking head" not in caplog.text


@pytest.mark.parametrize("maker", ["xlmr_reranker", "stanford_colbert", "pylate_colbert"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_is_refused_with_its_path(copy, maker, name):
    folder = copy(maker)
    (folder / name).unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)
    with pytest.raises(ModelLoadError) as caught:
        Reranker(folder, device="cpu")
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("maker", ["stanford_colbert", "pylate_colbert", "bert_reranker"])
def test_weights_with_holes_are_refused_by_name(copy, maker):
    folder = copy(maker)
    path = folder / "model.safetensors"
    hole = "encoder.layer.1.attention.self.query.weight"
    tensors = {name: t for name, t in load_file(path).items() if not name.endswith(hole)}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"layer\.1\.attention\.self\.query\.weight"):
        load_scorer(folder, FP32)


def test_a_checkpoint_of_colbert_without_its_projection_is_refused(copy):
    folder = copy("stanford_colbert")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["linear.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"lack linear\.weight"):
        load_scorer(folder, FP32)


@pytest.mark.parametrize(
    ("maker", "file"),
    [
        ("xlmr_reranker", "pytorch_model.bin"),
        ("stanford_colbert", "pytorch_model.bin"),
        ("pylate_colbert", "pytorch_model.bin"),
        ("pylate_colbert", "1_Dense/pytorch_model.bin"),
        ("sentence_transformer", "pytorch_model.bin"),
    ],
)
def test_a_model_whose_weights_run_code_is_refused_and_nothing_runs(copy, tmp_path, maker, file):
    folder, mark = copy(maker, weights="bin"), tmp_path / "ran"
    state = torch.load(folder / file, weights_only=True) | {"z": Payload(mark)}
    torch.save(state, folder / file)
    with pytest.raises(UnsafeWeightsError):
        load_scorer(folder, FP32)
    assert not mark.exists()


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1]"])
def test_a_module_list_that_cannot_be_read_is_refused(copy, content):
    folder = copy("pylate_colbert")
    (folder / "modules.json").write_text(content)
    with pytest.raises(ModelLoadError, match=r"modules\.json"):
        load_scorer(folder, FP32)
