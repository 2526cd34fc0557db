"""Makes the models of the benchmark, once, under ``benchmarks/.models/``.

Full-size architectures with random weights from a fixed seed: what a matrix product costs does not
depend on what is in it. MiniLM's weights are real; they come as a Python package.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.base import Model
from benchmarks.places import MODELS, packaged_minilm

if TYPE_CHECKING:
    import torch

__all__ = ["NAMES", "TITLES", "folder_of", "linear_flops", "linear_layers", "shape_of"]

NAMES: tuple[Model, ...] = ("bge", "colbert", "minilm-cross", "minilm-maxsim")
TITLES: dict[str, str] = {
    "bge": "bge-reranker-v2-m3 (XLM-R-large, full size, random weights)",
    "colbert": "ColBERT (BERT-base, full size, random weights)",
    "minilm-cross": "MiniLM-L6 as a cross-encoder",
    "minilm-maxsim": "minilm-maxsim (all-MiniLM-L6-v2)",
}


def folder_of(model: Model, root: Path = MODELS) -> Path:
    """The model's folder, made if it is missing."""
    if model == "minilm-maxsim":
        return packaged_minilm()
    folder = root / model
    if not (folder / "made.json").exists():
        print(f"making {TITLES[model]} ...", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _MAKERS[model](folder)
        (folder / "made.json").write_text("{}\n", "utf-8")  # last: a stopped run begins anew
    return folder


def shape_of(folder: Path) -> dict[str, Any]:
    """The model's ``config.json``."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return config


def linear_layers(config: dict[str, Any]) -> list[tuple[int, int]]:
    """Inputs and outputs of the linear layers of one transformer layer."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return [(hidden, hidden)] * 4 + [(hidden, inner), (inner, hidden)]


def linear_flops(config: dict[str, Any]) -> int:
    """Operations that all linear layers spend on a token."""
    a_layer = sum(2 * inputs * outputs for inputs, outputs in linear_layers(config))
    return int(config["num_hidden_layers"]) * a_layer


def _make_bge(folder: Path) -> None:
    from benchmarks.vocabulary import write_tokenizer, xlmr_tokenizer

    config = {
        "architectures": ["XLMRobertaForSequenceClassification"],
        "model_type": "xlm-roberta",
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "hidden_act": "gelu",
        "vocab_size": 250002,
        "max_position_embeddings": 8194,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }
    write_tokenizer(folder, xlmr_tokenizer(packaged_minilm() / "vocab.txt"))
    _write(folder, config, _random(config, "XLMRobertaForSequenceClassification"))


def _make_colbert(folder: Path) -> None:
    config = shape_of(packaged_minilm()) | {
        "_name_or_path": "",
        "architectures": ["BertModel"],
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    tensors = {f"bert.{name}": value for name, value in _random(config, "BertModel").items()}
    tensors["linear.weight"] = _normal("linear.weight", (128, 768), 0.05)
    _copy_tokenizer(folder)
    _write(folder, config | {"architectures": ["HF_ColBERT"]}, tensors)
    metadata = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_token": "[Q]",
        "doc_token": "[D]",
        "dim": 128,
        "similarity": "cosine",
        "query_maxlen": 32,
        "doc_maxlen": 180,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
        "interaction": "colbert",
    }
    (folder / "artifact.metadata").write_text(json.dumps(metadata, indent=2), "utf-8")


def _make_minilm_cross(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    packaged = packaged_minilm()
    config = shape_of(packaged) | {
        "_name_or_path": "",
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }
    body = load_file(packaged / "model.safetensors")
    tensors = {f"bert.{name}": value for name, value in body.items() if "position_ids" not in name}
    tensors["classifier.weight"] = _normal("classifier.weight", (1, 384), 0.5)
    tensors["classifier.bias"] = torch.zeros(1)
    _copy_tokenizer(folder)
    _write(folder, config, tensors)


_MAKERS: dict[str, Callable[[Path], None]] = {
    "bge": _make_bge,
    "colbert": _make_colbert,
    "minilm-cross": _make_minilm_cross,
}


def _random(config: dict[str, Any], architecture: str) -> dict[str, torch.Tensor]:
    """Weights for an architecture; attention is wide enough for logits to depend on the text."""
    import torch
    import transformers

    settings = transformers.AutoConfig.for_model(**config)
    with torch.device("meta"):
        shapes = getattr(transformers, architecture)(settings).state_dict()
    tensors = {}
    for name, empty in shapes.items():
        if "LayerNorm.weight" in name:
            tensors[name] = torch.ones(empty.shape)
        elif name.endswith("bias"):
            tensors[name] = torch.zeros(empty.shape)
        elif empty.is_floating_point():
            spread = 0.5 if name == "classifier.out_proj.weight" else 0.04
            tensors[name] = _normal(name, tuple(empty.shape), spread)
    return tensors


def _normal(name: str, shape: tuple[int, ...], spread: float) -> torch.Tensor:
    """Numbers that depend on the tensor's name only."""
    import torch

    generator = torch.Generator().manual_seed(sum(name.encode()) * 1009 + len(name))
    return torch.randn(shape, generator=generator) * spread


def _write(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})


def _copy_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copyfile(packaged_minilm() / name, folder / name)
