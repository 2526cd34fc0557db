"""Cross-encoders and plain encoders of many architectures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tests.checkpoints.files import Weights, write_json, write_tokenizer, write_weights
from tests.checkpoints.tokenizers import bytes_tokenizer, unigram_tokenizer, wordpiece_tokenizer
from tests.checkpoints.weights import build, label_names, make_config, random_weights
from tokenizers import (
    Tokenizer,
)


def _model(
    folder: str | Path,
    architecture: str,
    config: Mapping[str, Any],
    tokenizer: Tokenizer,
    tokenizer_class: str,
    max_length: int,
    *,
    weights: Weights,
    seed: int,
    **settings: Any,
) -> Path:
    folder = Path(folder)
    model = build(config, architecture)
    write_json(folder / "config.json", config)
    write_tokenizer(folder, tokenizer, tokenizer_class, max_length, **settings)
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    write_weights(folder, random_weights(model, seed, prefix), weights)
    return folder


def xlmr_reranker(
    folder: str | Path,
    *,
    weights: Weights = "safetensors",
    max_position_embeddings: int = 514,
    labels: int = 1,
    seed: int = 0,
) -> Path:
    """bge-reranker's family. Positions start at pad_token_id + 1 = 2, so 514 hold 512 tokens."""
    name, tokenizer = "XLMRobertaForSequenceClassification", unigram_tokenizer()
    config = make_config(
        "xlm-roberta",
        name,
        tokenizer.get_vocab_size(),
        max_position_embeddings=max_position_embeddings,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        **label_names(labels),
    )
    limit = max_position_embeddings - 2
    return _model(
        folder, name, config, tokenizer, "XLMRobertaTokenizer", limit, weights=weights, seed=seed
    )


def two_label_reranker(
    folder: str | Path, *, weights: Weights = "safetensors", seed: int = 0
) -> Path:
    """A model that a reranker must refuse: two labels."""
    return xlmr_reranker(folder, weights=weights, labels=2, seed=seed)


def bert_reranker(
    folder: str | Path, *, weights: Weights = "safetensors", labels: int = 1, seed: int = 0
) -> Path:
    """ms-marco-MiniLM's family: token types 0 and 1 matter."""
    name, tokenizer = "BertForSequenceClassification", wordpiece_tokenizer()
    config = make_config(
        "bert",
        name,
        tokenizer.get_vocab_size(),
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        **label_names(labels),
    )
    return _model(
        folder,
        name,
        config,
        tokenizer,
        "BertTokenizer",
        512,
        weights=weights,
        seed=seed,
        do_lower_case=True,
    )


def electra_reranker(
    folder: str | Path, *, weights: Weights = "safetensors", seed: int = 0
) -> Path:
    """Embeddings narrower than the hidden states, token types, a GELU head on the first token."""
    name, tokenizer = "ElectraForSequenceClassification", wordpiece_tokenizer()
    config = make_config(
        "electra",
        name,
        tokenizer.get_vocab_size(),
        embedding_size=24,
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        **label_names(1),
    )
    return _model(
        folder,
        name,
        config,
        tokenizer,
        "ElectraTokenizer",
        512,
        weights=weights,
        seed=seed,
        do_lower_case=True,
    )


def roberta_reranker(
    folder: str | Path, *, weights: Weights = "safetensors", seed: int = 0
) -> Path:
    """Byte-level BPE, positions from 2, no token types."""
    name, tokenizer = "RobertaForSequenceClassification", bytes_tokenizer()
    config = make_config(
        "roberta",
        name,
        tokenizer.get_vocab_size(),
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        **label_names(1),
    )
    return _model(
        folder,
        name,
        config,
        tokenizer,
        "RobertaTokenizer",
        512,
        weights=weights,
        seed=seed,
        add_prefix_space=False,
    )


def _modernbert(architecture: str, size: int, window: int, **settings: Any) -> dict[str, Any]:
    config = make_config(
        "modernbert",
        architecture,
        size,
        num_hidden_layers=4,
        max_position_embeddings=1024,
        local_attention=window,
        global_attn_every_n_layers=3,
        global_rope_theta=160000.0,
        local_rope_theta=10000.0,
        hidden_activation="gelu",
        norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        cls_token_id=0,
        sep_token_id=2,
        **settings,
    )
    del config["hidden_act"]
    return config


def modernbert_reranker(
    folder: str | Path,
    *,
    weights: Weights = "safetensors",
    window: int = 16,
    pooling: Literal["cls", "mean"] = "mean",
    seed: int = 0,
) -> Path:
    """Rotary positions; layers 0 and 3 see everything, 1 and 2 `window` // 2 tokens a side."""
    name, tokenizer = "ModernBertForSequenceClassification", bytes_tokenizer(modernbert=True)
    config = _modernbert(
        name, tokenizer.get_vocab_size(), window, classifier_pooling=pooling, **label_names(1)
    )
    return _model(
        folder,
        name,
        config,
        tokenizer,
        "PreTrainedTokenizerFast",
        1024,
        weights=weights,
        seed=seed,
        model_input_names=["input_ids", "attention_mask"],
    )


def distilbert_reranker(
    folder: str | Path, *, weights: Weights = "safetensors", seed: int = 0
) -> Path:
    """No token types; configuration keys of its own (dim, n_layers, n_heads, hidden_dim)."""
    name, tokenizer = "DistilBertForSequenceClassification", wordpiece_tokenizer()
    config = {
        "architectures": [name],
        "model_type": "distilbert",
        "vocab_size": tokenizer.get_vocab_size(),
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
        "activation": "gelu",
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "torch_dtype": "float32",
        **label_names(1),
    }
    return _model(
        folder,
        name,
        config,
        tokenizer,
        "DistilBertTokenizer",
        512,
        weights=weights,
        seed=seed,
        do_lower_case=True,
    )


def deberta_reranker(
    folder: str | Path, *, weights: Weights = "safetensors", seed: int = 0
) -> Path:
    """DeBERTa-v3's settings: disentangled attention, with relative positions of its own."""
    name, tokenizer = "DebertaV2ForSequenceClassification", unigram_tokenizer(deberta=True)
    config = make_config(
        "deberta-v2",
        name,
        tokenizer.get_vocab_size(),
        type_vocab_size=0,
        layer_norm_eps=1e-7,
        relative_attention=True,
        position_buckets=16,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type="p2c|c2p",
        max_relative_positions=-1,
        position_biased_input=False,
        pooler_hidden_size=32,
        pooler_hidden_act="gelu",
        pooler_dropout=0,
        **label_names(1),
    )
    return _model(
        folder,
        name,
        config,
        tokenizer,
        "DebertaV2Tokenizer",
        512,
        weights=weights,
        seed=seed,
        do_lower_case=False,
    )


def mpnet_reranker(folder: str | Path, *, weights: Weights = "safetensors", seed: int = 0) -> Path:
    """WordPiece with RoBERTa's specials, a relative position bias, positions from 2."""
    specials = {"pad": "<pad>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
    name, tokenizer = (
        "MPNetForSequenceClassification",
        wordpiece_tokenizer(specials, roberta_pairs=True),
    )
    config = make_config(
        "mpnet",
        name,
        tokenizer.get_vocab_size(),
        max_position_embeddings=514,
        relative_attention_num_buckets=32,
        layer_norm_eps=1e-5,
        bos_token_id=tokenizer.token_to_id("<s>"),
        pad_token_id=1,
        eos_token_id=tokenizer.token_to_id("</s>"),
        **label_names(1),
    )
    return _model(
        folder,
        name,
        config,
        tokenizer,
        "MPNetTokenizer",
        512,
        weights=weights,
        seed=seed,
        do_lower_case=True,
    )


def bert_encoder(folder: str | Path, *, weights: Weights = "safetensors", seed: int = 0) -> Path:
    """A plain encoder; its weights are those inside `stanford_colbert` of the same seed."""
    name, tokenizer = "BertModel", wordpiece_tokenizer()
    config = make_config(
        "bert", name, tokenizer.get_vocab_size(), type_vocab_size=2, layer_norm_eps=1e-12
    )
    return _model(
        folder,
        name,
        config,
        tokenizer,
        "BertTokenizer",
        512,
        weights=weights,
        seed=seed,
        do_lower_case=True,
    )


def modernbert_encoder(
    folder: str | Path, *, weights: Weights = "safetensors", window: int = 16, seed: int = 0
) -> Path:
    """A plain ModernBERT encoder with a sliding window."""
    name, tokenizer = "ModernBertModel", bytes_tokenizer(modernbert=True)
    config = _modernbert(name, tokenizer.get_vocab_size(), window)
    return _model(
        folder,
        name,
        config,
        tokenizer,
        "PreTrainedTokenizerFast",
        1024,
        weights=weights,
        seed=seed,
        model_input_names=["input_ids", "attention_mask"],
    )


def sentence_transformer(
    folder: str | Path,
    *,
    weights: Weights = "safetensors",
    max_seq_length: int = 256,
    seed: int = 0,
) -> Path:
    """A single-vector embedding model, stored as all-MiniLM-L6-v2 is."""
    folder = bert_encoder(folder, weights=weights, seed=seed)
    types = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(types.items())
    ]
    write_json(folder / "modules.json", modules)
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": max_seq_length, "do_lower_case": False},
    )
    versions = {"sentence_transformers": "2.0.0", "transformers": "4.6.1", "pytorch": "1.8.1"}
    write_json(folder / "config_sentence_transformers.json", {"__version__": versions})
    return folder
