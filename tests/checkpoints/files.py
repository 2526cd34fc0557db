"""Writes and reads the files of a checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from tokenizers import (
    Tokenizer,
    models,
)

Weights = Literal["safetensors", "bin"]


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tokenizer(
    folder: Path, tokenizer: Tokenizer, tokenizer_class: str, model_max_length: int, **settings: Any
) -> None:
    vocab = tokenizer.get_vocab()
    bracketed = "[CLS]" in vocab
    names = {
        "pad_token": "[PAD]" if bracketed else "<pad>",
        "unk_token": "[UNK]" if "[UNK]" in vocab else "<unk>",
        "cls_token": "[CLS]" if bracketed else "<s>",
        "sep_token": "[SEP]" if bracketed else "</s>",
        "mask_token": "[MASK]" if bracketed else "<mask>",
    }
    if not bracketed:
        names |= {"bos_token": "<s>", "eos_token": "</s>"}
    names |= {key: value for key, value in settings.items() if key in names}
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": tokenizer_class,
        "model_max_length": model_max_length,
        **settings,
        **names,
    }
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", names)
    if isinstance(tokenizer.model, models.WordPiece):
        pieces = sorted(vocab, key=vocab.__getitem__)
        (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


def write_weights(
    folder: Path, tensors: Mapping[str, torch.Tensor], weights: Weights = "safetensors"
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if weights == "safetensors":
        save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    elif weights == "bin":
        torch.save(dict(tensors), folder / "pytorch_model.bin")
    else:
        raise ValueError(f"weights={weights!r}: use 'safetensors' or 'bin'")


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint's root."""
    if (folder / "model.safetensors").exists():
        return load_file(folder / "model.safetensors")
    return dict(torch.load(folder / "pytorch_model.bin", weights_only=True))


def weights_sha256(folder: Path) -> str:
    """A digest over names, shapes and values; the same for safetensors and bin."""
    digest = hashlib.sha256()
    for name, tensor in sorted(read_weights(folder).items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
