from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification

from rag_rerankers import ModelLoadError, UnsafeWeightsError
from rag_rerankers.weights import (
    load_config,
    load_model,
    load_tensors,
    load_tokenizer,
    read_json,
    weight_files,
)

CPU = torch.device("cpu")
PAIR = AutoModelForSequenceClassification


@pytest.fixture
def copy(make, tmp_path):
    """A checkpoint that a test may change."""

    def copied(maker: str, **settings) -> Path:
        return Path(shutil.copytree(make(maker, **settings), tmp_path / "model"))

    return copied


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def load(auto_class, folder: Path, dtype: torch.dtype = torch.float32):
    return load_model(auto_class, folder, CPU, dtype)


READERS = {
    "model": lambda folder: load(AutoModel, folder),
    "tensors": lambda folder: load_tensors(folder, ("linear.weight",)),
}


# --- JSON ---


def test_json_objects_are_read_and_absent_files_are_empty(tmp_path):
    (tmp_path / "a.json").write_text('{"é": [1]}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"é": [1]}
    assert read_json(tmp_path / "b.json") == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{oops", "cannot be read as JSON"), (b"[1, 2]", "a JSON list"), (b"\xff", "cannot be read")],
)
def test_what_is_no_json_object_is_refused_with_its_path(tmp_path, content, told):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ModelLoadError, match=told) as caught:
        read_json(tmp_path / "a.json")
    assert str(tmp_path / "a.json") in str(caught.value)


# --- which files ---


def test_safetensors_win_over_bin(tmp_path):
    for name in ("pytorch_model.bin", "model.safetensors", "optimizer.bin"):
        (tmp_path / name).touch()
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]
    (tmp_path / "model.safetensors").unlink()
    assert weight_files(tmp_path) == [tmp_path / "pytorch_model.bin"]


def test_a_folder_without_weights_is_refused_with_what_it_holds(tmp_path):
    with pytest.raises(ModelLoadError, match="it holds: nothing"):
        weight_files(tmp_path)
    (tmp_path / "flax_model.msgpack").touch()
    with pytest.raises(ModelLoadError, match=r"flax_model\.msgpack"):
        weight_files(tmp_path)


# --- configuration and tokenizer ---


def test_a_folder_without_config_is_no_model(tmp_path):
    with pytest.raises(ModelLoadError, match=r"holds no config\.json"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    "config",
    ['{"model_type": "a-model-of-tomorrow"}', "{oops", "{}"],
    ids=["new", "broken", "bare"],
)
def test_a_config_that_transformers_cannot_use_is_refused_with_its_path(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelLoadError, match=r"config\.json cannot be used"):
        load_config(tmp_path)


def test_code_that_a_model_brings_is_never_run(copy, tmp_path):
    folder, mark = copy("bert_reranker"), tmp_path / "ran"
    (folder / "evil.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "evil"
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError):
        load_config(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelLoadError):
        load_tokenizer(folder)
    assert not mark.exists()


@pytest.mark.parametrize("maker", ["xlmr_reranker", "bert_reranker", "roberta_reranker"])
def test_missing_tokenizer_files_are_told(copy, maker):
    folder = copy(maker)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ModelLoadError, match="tokenizer") as caught:
        load_tokenizer(folder)
    assert str(folder) in str(caught.value)


# --- whole models ---


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
def test_a_model_has_exactly_the_weights_of_its_file(make, weights):
    folder = make("xlmr_reranker", weights=weights)
    model = load(PAIR, folder)
    expected = load_file(make("xlmr_reranker") / "model.safetensors")
    state = model.state_dict()
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name
    assert not model.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_comes_in_the_dtype_that_was_asked_for(make, dtype):
    model = load(PAIR, make("bert_reranker"), dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def sharded(folder: Path, suffix: str) -> None:
    """Split the weights over two files, as large models are published."""
    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    names = sorted(tensors)
    index = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"{stem}-{number:05}-of-00002.{suffix}"
        chosen = {name: tensors[name] for name in part}
        index |= dict.fromkeys(part, file)
        if suffix == "safetensors":
            save_file(chosen, folder / file, metadata={"format": "pt"})
        else:
            torch.save(chosen, folder / file)
    (folder / f"{stem}.{suffix}.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": index})
    )


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_weights_in_several_files_are_read(copy, make, suffix):
    folder = copy("stanford_colbert")
    sharded(folder, suffix)
    expected = load_file(make("stanford_colbert") / "model.safetensors")
    model = load(AutoModel, folder)
    name = "encoder.layer.1.output.dense.weight"
    assert torch.equal(model.state_dict()[name], expected[f"bert.{name}"])
    found = load_tensors(folder, ("linear.weight",))
    assert torch.equal(found["linear.weight"], expected["linear.weight"])


@pytest.mark.parametrize("format_", ["zip", "legacy"])
@pytest.mark.parametrize("reader", READERS)
def test_a_pickle_that_runs_code_is_refused_and_not_run(copy, tmp_path, format_, reader):
    folder, mark = copy("stanford_colbert", weights="bin"), tmp_path / "ran"
    path = folder / "pytorch_model.bin"
    state = torch.load(path, weights_only=True) | {"linear.weight": Payload(mark)}
    torch.save(state, path, _use_new_zipfile_serialization=format_ == "zip")
    with pytest.raises(UnsafeWeightsError, match="could run code when loaded") as caught:
        READERS[reader](folder)
    assert not mark.exists()
    assert str(folder) in str(caught.value)
    assert "safetensors" in str(caught.value)
    # The payload is one that works: without the guard it would have run.
    torch.load(path, weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("reader", READERS)
def test_bin_weights_in_torchs_old_format_are_read(copy, make, reader):
    """Checkpoints from before torch 1.6 are not zip files."""
    folder = copy("stanford_colbert", weights="bin")
    path = folder / "pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    name = "encoder.layer.0.output.dense.weight"
    if reader == "model":
        assert torch.equal(load(AutoModel, folder).state_dict()[name], state[f"bert.{name}"])
    else:
        found = load_tensors(folder, ("linear.weight",))
        assert torch.equal(found["linear.weight"], state["linear.weight"])


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize("reader", READERS)
def test_damaged_weights_are_refused_with_their_folder(copy, name, size, reader):
    """As an interrupted download or a git-lfs pointer leaves them."""
    weights = "safetensors" if name.endswith("safetensors") else "bin"
    folder = copy("stanford_colbert", weights=weights)
    (folder / name).write_bytes((folder / name).read_bytes()[:size])
    with pytest.raises(ModelLoadError) as caught:
        READERS[reader](folder)
    assert str(folder) in str(caught.value)


def test_weights_that_would_be_random_are_refused_by_name(copy):
    folder = copy("xlmr_reranker")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["classifier.out_proj.weight"], tensors["classifier.out_proj.bias"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match="lack 2 tensors of XLMRobertaForSequence") as caught:
        load(PAIR, folder)
    assert "classifier.out_proj.weight" in str(caught.value)
    assert "not trained as such a model" in str(caught.value)


def test_an_encoder_is_no_cross_encoder(make):
    with pytest.raises(ModelLoadError, match="not trained as such a model"):
        load(PAIR, make("bert_encoder"))


def without_pooler(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = {name: t for name, t in load_file(path).items() if "pooler" not in name}
    save_file(tensors, path, metadata={"format": "pt"})


def test_an_encoder_may_lack_its_pooler_but_a_classifier_may_not(copy, tmp_path):
    folder = copy("bert_encoder")
    without_pooler(folder)
    load(AutoModel, folder)
    shutil.rmtree(folder)
    folder = copy("bert_reranker")
    without_pooler(folder)
    with pytest.raises(ModelLoadError, match=r"bert\.pooler\.dense"):
        load(PAIR, folder)


@pytest.mark.parametrize(
    "name",
    ["classifier.dense.weight", "classifier.out_proj.weight",
     "roberta.encoder.layer.0.output.dense.weight"],
)  # fmt: skip
def test_weights_of_a_wrong_shape_are_refused(copy, name):
    folder = copy("xlmr_reranker")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors[name] = tensors[name][:, :-3].contiguous()
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelLoadError) as caught:
        load(PAIR, folder)
    assert str(folder) in str(caught.value)


def test_only_the_asked_tensors_are_read_as_float32(copy):
    folder = copy("stanford_colbert")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["linear.weight"] = tensors["linear.weight"].half()
    save_file(tensors, path, metadata={"format": "pt"})
    found = load_tensors(folder, ("linear.weight", "linear.bias"))
    assert list(found) == ["linear.weight"]
    assert found["linear.weight"].dtype == torch.float32
    assert torch.equal(found["linear.weight"], tensors["linear.weight"].float())


def test_loading_leaves_the_logger_of_transformers_as_it_was(make):
    noisy = logging.getLogger("transformers.modeling_utils")
    before = list(noisy.filters)
    load(AutoModel, make("stanford_colbert"))
    with pytest.raises(ModelLoadError):
        load(PAIR, make("bert_encoder"))
    assert noisy.filters == before
