"""Fixed random weights: a function of seed and tensor name, the same with every library version."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import transformers

Weights = Literal["safetensors", "bin"]


def random_tensor(name: str, shape: Sequence[int], seed: int, std: float) -> torch.Tensor:
    """Uniform with the given standard deviation, fixed by (seed, name, position)."""
    bits = np.random.PCG64([seed, zlib.crc32(name.encode())]).random_raw(math.prod(shape))
    unit = (bits >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0  # 24 bits: exact in float32
    return torch.from_numpy((unit * (std * math.sqrt(3.0))).astype(np.float32)).reshape(
        tuple(shape)
    )


def _std(name: str) -> float:
    if name.endswith("bias"):
        return 0.1
    if "norm" in name.lower():
        return 0.2
    if name.startswith(("classifier.out_proj", "classifier.weight")):
        return 1.0
    return 0.6 if "embeddings" in name else 0.3


def random_weights(model: torch.nn.Module, seed: int, prefix: str = "") -> dict[str, torch.Tensor]:
    """A value for every parameter of `model`.

    A `prefix` is taken off the name before drawing: an encoder has the same weights alone and
    inside a larger model.
    """
    tensors = {}
    for name, parameter in model.named_parameters():
        bare = name.removeprefix(prefix)
        tensor = random_tensor(bare, parameter.shape, seed, _std(bare))
        if "norm" in bare.lower() and bare.endswith("weight"):
            tensor += 1.0
        tensors[name] = tensor
    return tensors


def make_config(
    model_type: str, architecture: str, vocab_size: int, **settings: Any
) -> dict[str, Any]:
    base = {
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "hidden_act": "gelu",
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "initializer_range": 0.02,
        "torch_dtype": "float32",
    }
    return base | settings


def build(config: Mapping[str, Any], architecture: str) -> torch.nn.Module:
    settings = {
        key: value for key, value in config.items() if key not in ("model_type", "architectures")
    }
    if "id2label" in settings:
        settings["id2label"] = {int(key): value for key, value in settings["id2label"].items()}
    made = transformers.AutoConfig.for_model(config["model_type"], **settings)
    model_class = getattr(transformers, architecture)  # an import, which "meta" would disturb
    with torch.device("meta"):
        model: torch.nn.Module = model_class(made)
    return model


def label_names(count: int) -> dict[str, Any]:
    return {
        "id2label": {str(n): f"LABEL_{n}" for n in range(count)},
        "label2id": {f"LABEL_{n}": n for n in range(count)},
    }
