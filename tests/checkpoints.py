"""Tiny checkpoints with fixed random weights, in the file layouts of real rerankers.

Every function fills an empty or missing folder and returns it. Nothing is downloaded and no peer
is imported: tokenizers come from ``tokenizers``, files are written by hand, ``transformers`` is
asked for tensor names and shapes alone. Weights are a function of (seed, tensor name), drawn from
the raw bits of PCG64, whose stream NumPy guarantees: the same bytes on every machine and with
every library version. They are large, so that a wrong position, a wrong token type or a lost
vector moves a score visibly.
"""

from __future__ import annotations

import hashlib
import json
import math
import string
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

Weights = Literal["safetensors", "bin"]

CJK = "東京中国日本語文字検索人工知能猫犬水火山川"
WORDS = (  # noqa: SIM905 (a list of sixty strings would be a column of sixty lines)
    "the a an of to in is are was what how why which where who panda bear giant china bamboo eats"
    " city capital france paris river rust python list dict search engine query passage rank model"
    " late interaction token vector score document retrieval language animal lives forest not and"
    " or with"
).split()
SUFFIXES = ("##ing", "##ed", "##er", "##ly", "##tion")


# --- tokenizers ---


def wordpiece_tokenizer(
    specials: Mapping[str, str] | None = None, *, roberta_pairs: bool = False
) -> Tokenizer:
    """BERT's pipeline: lower case, no accents, punctuation and CJK characters apart, WordPiece."""
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    names |= specials or {}
    alphabet = string.ascii_lowercase + string.digits
    unused = [f"[unused{n}]" for n in range(4)]
    pieces = [names["pad"], *unused, names["unk"], names["cls"], names["sep"], names["mask"]]
    if roberta_pairs:  # MPNet's model takes id 1 for padding, whatever its configuration says
        pieces = [names["cls"], names["pad"], names["sep"], *unused, names["unk"], names["mask"]]
    pieces += [*string.punctuation, *alphabet, *(f"##{c}" for c in alphabet), *CJK]
    pieces += [word for word in WORDS if len(word) > 1] + list(SUFFIXES)
    vocab = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=names["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    cls, sep = names["cls"], names["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} {sep} $B {sep}" if roberta_pairs else f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    tokenizer.add_special_tokens(list(names.values()))
    return tokenizer


def unigram_tokenizer(*, deberta: bool = False) -> Tokenizer:
    """SentencePiece's pipeline as in XLM-R (``<s> A </s></s> B </s>``) or in DeBERTa-v2."""
    if deberta:
        cls, pad, sep, unk, mask = "[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"
        head = [pad, cls, sep, unk]
    else:
        cls, pad, sep, unk, mask = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
        head = [cls, pad, sep, unk]
    letters = string.ascii_letters + string.digits + string.punctuation + CJK + "éüñßøλж"
    scored = [(piece, 0.0) for piece in head] + [("▁", -3.0)]
    scored += [(letter, -8.0 - index / 100) for index, letter in enumerate(letters)]
    scored += [(f"▁{word}", -4.0 - index / 50) for index, word in enumerate(WORDS)]
    scored += [(suffix[2:], -6.0 - n / 10) for n, suffix in enumerate(SUFFIXES) if len(suffix) > 3]
    scored.append((mask, 0.0))
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=3, byte_fallback=False))
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    if deberta:
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
                normalizers.NFC(),
                normalizers.Strip(left=False, right=True),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([metaspace])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), metaspace]
        )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1" if deberta else f"{cls} $A {sep} {sep} $B {sep}",
        special_tokens=[(cls, head.index(cls)), (sep, head.index(sep))],
    )
    tokenizer.add_special_tokens([*head, mask])
    return tokenizer


def bytes_tokenizer(*, modernbert: bool = False) -> Tokenizer:
    """Byte-level BPE: RoBERTa's ``<s>A</s></s>B</s>``, ModernBERT's ``[CLS]A[SEP]B[SEP]``."""
    if modernbert:
        cls, pad, sep, unk, mask = "[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"
    else:
        cls, pad, sep, unk, mask = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
    head = [cls, pad, sep, unk]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [
        ("t", "h"),
        ("th", "e"),
        ("Ġ", "the"),
        ("i", "n"),
        ("a", "n"),
        ("an", "d"),
        ("e", "r"),
        ("Ġ", "a"),
    ]
    vocab = {
        piece: n
        for n, piece in enumerate([*head, *alphabet, *("".join(pair) for pair in merges), mask])
    }
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, fuse_unk=False))
    if modernbert:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if modernbert:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(cls, 0), (sep, 2)],
        )
    else:
        tokenizer.post_processor = processors.RobertaProcessing(
            (sep, 2), (cls, 0), add_prefix_space=False
        )
    tokenizer.add_special_tokens([*head, AddedToken(mask, lstrip=True, special=True)])
    return tokenizer


# --- files ---


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


# --- weights ---


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


def _config(model_type: str, architecture: str, vocab_size: int, **settings: Any) -> dict[str, Any]:
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


def _build(config: Mapping[str, Any], architecture: str) -> torch.nn.Module:
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


def _labels(count: int) -> dict[str, Any]:
    return {
        "id2label": {str(n): f"LABEL_{n}" for n in range(count)},
        "label2id": {f"LABEL_{n}": n for n in range(count)},
    }


# --- ColBERT in three layouts, one set of weights ---


def _colbert_parts(
    seed: int, dim: int, pooler: bool = True
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    size = wordpiece_tokenizer().get_vocab_size()
    config = _config("bert", "BertModel", size, type_vocab_size=2, layer_norm_eps=1e-12)
    encoder = random_weights(_build(config, "BertModel"), seed)
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


# --- plain models ---


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
    model = _build(config, architecture)
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
    config = _config(
        "xlm-roberta",
        name,
        tokenizer.get_vocab_size(),
        max_position_embeddings=max_position_embeddings,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        **_labels(labels),
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
    config = _config(
        "bert",
        name,
        tokenizer.get_vocab_size(),
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        **_labels(labels),
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
    config = _config(
        "electra",
        name,
        tokenizer.get_vocab_size(),
        embedding_size=24,
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        **_labels(1),
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
    config = _config(
        "roberta",
        name,
        tokenizer.get_vocab_size(),
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        **_labels(1),
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
    config = _config(
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
        name, tokenizer.get_vocab_size(), window, classifier_pooling=pooling, **_labels(1)
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
        **_labels(1),
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
    config = _config(
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
        **_labels(1),
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
    config = _config(
        "mpnet",
        name,
        tokenizer.get_vocab_size(),
        max_position_embeddings=514,
        relative_attention_num_buckets=32,
        layer_norm_eps=1e-5,
        bos_token_id=tokenizer.token_to_id("<s>"),
        pad_token_id=1,
        eos_token_id=tokenizer.token_to_id("</s>"),
        **_labels(1),
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
    config = _config(
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
