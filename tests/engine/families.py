"""Models of BERT's family, small enough to be made in a test."""

from __future__ import annotations

import torch
import transformers
from transformers import AutoModel, AutoModelForSequenceClassification

__all__ = ["FAMILY", "built", "loaded"]

SIZES = {
    "vocab_size": 90,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 70,
}
FAMILY = {
    "bert": {"type_vocab_size": 2, "pad_token_id": 0},
    "roberta": {"type_vocab_size": 1, "pad_token_id": 1},
    "xlm-roberta": {"type_vocab_size": 1, "pad_token_id": 1},
    "camembert": {"type_vocab_size": 1, "pad_token_id": 1},
    "electra": {"type_vocab_size": 2, "pad_token_id": 0, "embedding_size": 32},
}


def built(model_type: str, **settings):
    """A model with weights so large that any mistake shows."""
    config = transformers.AutoConfig.for_model(
        model_type, **{**SIZES, **FAMILY.get(model_type, {}), **settings}
    )
    config._attn_implementation = "eager"
    torch.manual_seed(3)
    model = AutoModel.from_config(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "LayerNorm.weight" not in name:
            parameter.normal_(std=0.3)
    return model


def loaded(make, maker: str):
    model = AutoModelForSequenceClassification.from_pretrained(
        make(maker), local_files_only=True, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval().requires_grad_(False)
