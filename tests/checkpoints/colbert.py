"""ColBERT in three layouts (Stanford, PyLate, sentence-transformers), from one set of weights."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tests.checkpoints.files import Weights, write_json, write_tokenizer, write_weights
from tests.checkpoints.tokenizers import wordpiece_tokenizer
from tests.checkpoints.weights import build, make_config, random_tensor, random_weights
from tokenizers import (
    AddedToken,
    Tokenizer,
)


def _colbert_parts(
    seed: int, dim: int, pooler: bool = True
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    size = wordpiece_tokenizer().get_vocab_size()
    config = make_config("bert", "BertModel", size, type_vocab_size=2, layer_norm_eps=1e-12)
    encoder = random_weights(build(config, "BertModel"), seed)
    if not pooler:
        encoder = {
            name: tensor for name, tensor in encoder.items() if not name.startswith("pooler.")
        }
    return config, encoder | {"linear.weight": random_tensor("linear.weight", (dim, 32), seed, 0.3)}


def stanford_colbert(
    folder: str | Path,
    *,
    dim: int = 16,
    weights: Weights = "safetensors",
    doc_maxlen: int = 180,
    query_maxlen: int = 32,
    attend_to_mask_tokens: bool = False,
    mask_punctuation: bool = True,
    metadata: Mapping[str, Any] | None = None,
    artifact: bool = True,
    position_ids: bool = False,
    seed: int = 0,
) -> Path:
    """colbert-ai's layout: ``bert.*`` and ``linear.weight`` in one file, artifact.metadata.

    Args:
        folder: Where to write.
        dim: Width of the projected vectors.
        weights: Format of the weights file.
        doc_maxlen: As in artifact.metadata.
        query_maxlen: As in artifact.metadata.
        attend_to_mask_tokens: As in artifact.metadata.
        mask_punctuation: As in artifact.metadata.
        metadata: More keys for artifact.metadata, or other values for the above.
        artifact: False leaves artifact.metadata out.
        position_ids: Also write the buffer ``bert.embeddings.position_ids``, as old checkpoints do.
        seed: Of the weights.
    """
    folder = Path(folder)
    config, tensors = _colbert_parts(seed, dim)
    write_json(folder / "config.json", config | {"architectures": ["HF_ColBERT"]})
    write_tokenizer(folder, wordpiece_tokenizer(), "BertTokenizer", 512, do_lower_case=True)
    named = {
        name if name == "linear.weight" else f"bert.{name}": value
        for name, value in tensors.items()
    }
    if position_ids:
        named["bert.embeddings.position_ids"] = torch.arange(512).reshape(1, -1)
    write_weights(folder, named, weights)
    if artifact:
        settings = {
            "query_token_id": "[unused0]",
            "doc_token_id": "[unused1]",
            "query_token": "[Q]",
            "doc_token": "[D]",
            "dim": dim,
            "similarity": "cosine",
            "query_maxlen": query_maxlen,
            "doc_maxlen": doc_maxlen,
            "mask_punctuation": mask_punctuation,
            "attend_to_mask_tokens": attend_to_mask_tokens,
            "interaction": "colbert",
            "nway": 64,
            "model_name": None,
        }
        write_json(folder / "artifact.metadata", settings | dict(metadata or {}))
    return folder


def _marked_tokenizer(
    prefixes: Sequence[str], tensors: dict[str, torch.Tensor], *, special: bool
) -> Tokenizer:
    """Registers the markers; a new one gets a copy of [unused0]'s or [unused1]'s embedding."""
    tokenizer = wordpiece_tokenizer()
    rows = [tensors["embeddings.word_embeddings.weight"]]
    for index, prefix in enumerate(prefixes):
        if not prefix:
            continue
        if tokenizer.token_to_id(prefix) is None:
            rows.append(rows[0][1 + index : 2 + index])
        token = AddedToken(prefix, normalized=not special, special=special)
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([token])
    tensors["embeddings.word_embeddings.weight"] = torch.cat(rows)
    return tokenizer


def _dense(
    path: Path, tensors: Mapping[str, torch.Tensor], weights: Weights, **config: Any
) -> None:
    out_features, in_features = tensors["linear.weight"].shape
    shape = {
        "in_features": in_features,
        "out_features": out_features,
        "bias": "linear.bias" in tensors,
    }
    write_json(path / "config.json", shape | config)
    write_weights(path, tensors, weights)


def pylate_colbert(
    folder: str | Path,
    *,
    dim: int = 16,
    weights: Weights = "safetensors",
    prefixes: tuple[str, str] = ("[Q] ", "[D] "),
    query_length: int = 32,
    document_length: int = 180,
    do_query_expansion: bool = True,
    attend_to_expansion_tokens: bool = False,
    skiplist_words: Sequence[str] = tuple(string.punctuation),
    dense: Sequence[Mapping[str, Any]] | None = None,
    omit: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """PyLate's layout, with the weights of `stanford_colbert` of the same seed and dim.

    Args:
        folder: Where to write.
        dim: Width of the projected vectors.
        weights: Format of all weights files.
        prefixes: Marker tokens of queries and documents; "" is none.
        query_length: As in config_sentence_transformers.json.
        document_length: As in config_sentence_transformers.json.
        do_query_expansion: As in config_sentence_transformers.json.
        attend_to_expansion_tokens: As in config_sentence_transformers.json.
        skiplist_words: As in config_sentence_transformers.json.
        dense: Heads instead of the one plain projection, in order: mappings with out_features and,
            if wanted, bias, use_residual, activation_function. Their weights are their own.
        omit: Keys to leave out of config_sentence_transformers.json, as older versions did.
        seed: Of the weights.
    """
    folder = Path(folder)
    config, tensors = _colbert_parts(seed, dim)
    projection = tensors.pop("linear.weight")
    tokenizer = _marked_tokenizer(prefixes, tensors, special=False)
    write_json(folder / "config.json", config | {"vocab_size": tokenizer.get_vocab_size()})
    # PyLate pads with [MASK] and saves the tokenizer in that state.
    write_tokenizer(folder, tokenizer, "BertTokenizer", 512, do_lower_case=True, pad_token="[MASK]")
    write_weights(folder, tensors, weights)
    write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": document_length - 1, "do_lower_case": False},
    )
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    heads: list[tuple[dict[str, torch.Tensor], dict[str, Any]]] = []
    if dense is None:
        heads.append(({"linear.weight": projection}, {}))
    width = 32
    for number, wanted in enumerate(dense or (), start=1):
        out = wanted["out_features"]
        head = {"linear.weight": random_tensor(f"dense{number}", (out, width), seed, 0.3)}
        if wanted.get("bias"):
            head["linear.bias"] = random_tensor(f"dense{number}.bias", (out,), seed, 0.3)
        if wanted.get("use_residual") and out != width:
            head["residual.weight"] = random_tensor(
                f"dense{number}.residual", (out, width), seed, 0.3
            )
        extra = {
            key: wanted[key] for key in ("activation_function", "use_residual") if key in wanted
        }
        heads.append((head, extra))
        width = out
    for number, (head, extra) in enumerate(heads, start=1):
        path = f"{number}_Dense"
        plain = {"activation_function": "torch.nn.modules.linear.Identity", "use_residual": False}
        _dense(folder / path, head, weights, **(plain | extra))
        modules.append(
            {"idx": number, "name": str(number), "path": path, "type": "pylate.models.Dense.Dense"}
        )
    write_json(folder / "modules.json", modules)
    settings: dict[str, Any] = {
        "__version__": {
            "sentence_transformers": "5.3.0",
            "transformers": "5.3.0",
            "pytorch": "2.13.0",
        },
        "model_type": "ColBERT",
        "prompts": {"query": "", "document": ""},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": prefixes[0],
        "document_prefix": prefixes[1],
        "query_length": query_length,
        "document_length": document_length,
        "attend_to_expansion_tokens": attend_to_expansion_tokens,
        "skiplist_words": list(skiplist_words),
        "do_query_expansion": do_query_expansion,
    }
    kept = {key: value for key, value in settings.items() if key not in omit}
    write_json(folder / "config_sentence_transformers.json", kept)
    return folder


def st_multivector(
    folder: str | Path,
    *,
    dim: int = 16,
    weights: Weights = "safetensors",
    prompts: tuple[str, str] = ("[unused0] ", "[unused1] "),
    special_prompts: bool = True,
    query_length: int | None = None,
    document_length: int | None = 180,
    query_expansion: Mapping[str, Any] | None = None,
    expand: bool = True,
    skiplist_words: Sequence[str] = tuple(string.punctuation),
    similarity: str | None = None,
    normalize: bool = True,
    seed: int = 0,
) -> Path:
    """sentence-transformers' own multi-vector layout, with the weights of `stanford_colbert`.

    Args:
        folder: Where to write.
        dim: Width of the projected vectors.
        weights: Format of all weights files.
        prompts: Put before queries and documents, as text.
        special_prompts: Register the prompts' first words as special tokens, as for converted
            ColBERTs; False leaves the prompts ordinary text.
        query_length: As in sentence_bert_config.json.
        document_length: As in sentence_bert_config.json.
        query_expansion: As in sentence_bert_config.json; None stands for 32 fixed, not attended.
        expand: False writes no query_expansion at all.
        skiplist_words: As in 2_MultiVectorMask/config.json.
        similarity: None, "maxsim" or "meanmaxsim".
        normalize: False leaves the Normalize module out.
        seed: Of the weights.
    """
    folder = Path(folder)
    config, tensors = _colbert_parts(seed, dim)
    projection = {"linear.weight": tensors.pop("linear.weight")}
    markers = [prompt.split(None, 1)[0] if prompt.strip() else "" for prompt in prompts]
    tokenizer = (
        _marked_tokenizer(markers, tensors, special=True)
        if special_prompts
        else wordpiece_tokenizer()
    )
    write_json(folder / "config.json", config | {"vocab_size": tokenizer.get_vocab_size()})
    extra = (
        {"extra_special_tokens": [marker for marker in markers if marker]}
        if special_prompts
        else {}
    )
    write_tokenizer(folder, tokenizer, "BertTokenizer", 512, do_lower_case=True, **extra)
    write_weights(folder, tensors, weights)
    base = "sentence_transformers.base.modules"
    multi = "sentence_transformers.multi_vector_encoder.modules"
    types = {
        "": f"{base}.transformer.Transformer",
        "1_Dense": f"{base}.dense.Dense",
        "2_MultiVectorMask": f"{multi}.multi_vector_mask.MultiVectorMask",
        "3_Normalize": f"{base}.normalize.Normalize",
    }
    if not normalize:
        del types["3_Normalize"]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": kind}
        for n, (path, kind) in enumerate(types.items())
    ]
    write_json(folder / "modules.json", modules)
    both = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    _dense(
        folder / "1_Dense",
        projection,
        weights,
        activation_function="torch.nn.modules.linear.Identity",
        **both,
    )
    mask = {
        "skiplist_words": list(skiplist_words),
        "skiplist_tasks": ["document"],
        "keep_only_token_ids": None,
    }
    write_json(folder / "2_MultiVectorMask" / "config.json", mask)
    if normalize:
        write_json(folder / "3_Normalize" / "config.json", both)
    transformer: dict[str, Any] = {
        "transformer_task": "feature-extraction",
        "modality_config": {
            "text": {"method": "forward", "method_output_name": "last_hidden_state"}
        },
        "module_output_name": "token_embeddings",
    }
    if query_length is not None:
        transformer["query_length"] = query_length
    if document_length is not None:
        transformer["document_length"] = document_length
    if expand:
        default = {"strategy": "fixed", "attend": False, "token": None, "length": 32}
        transformer["query_expansion"] = default | dict(query_expansion or {})
    write_json(folder / "sentence_bert_config.json", transformer)
    settings = {
        "__version__": {
            "sentence_transformers": "6.2.0",
            "transformers": "5.23.0",
            "pytorch": "2.13.0",
        },
        "default_prompt_name": None,
        "model_type": "MultiVectorEncoder",
        "prompts": {"document": prompts[1], "query": prompts[0]},
        "similarity_fn_name": similarity,
    }
    write_json(folder / "config_sentence_transformers.json", settings)
    return folder
