"""Reads the recipe of a late-interaction model from the files it was saved with.

Three layouts are known, and plain encoders:

* Stanford's (colbert-ai): ``artifact.metadata`` beside the weights of ``HF_ColBERT``;
* PyLate's: ``config_sentence_transformers.json`` with ``query_prefix``, ``query_length``, ...;
* sentence-transformers' multi-vector encoder: prompts, and a ``MultiVectorMask`` module;
* a plain encoder: raw token vectors, no marker, no expansion.

Keys and their defaults are those of colbert-ai 0.2.22, PyLate 1.6 and sentence-transformers 6.2.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rag_rerankers.engine.limits import checked_max_length
from rag_rerankers.errors import ModelLoadError
from rag_rerankers.scorers.recipe import Recipe, Side
from rag_rerankers.weights import read_json, read_modules

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Layout", "detect_layout", "read_recipe"]

Layout = Literal["stanford", "pylate", "sentence-transformers", "plain"]

_PYLATE_KEYS = {
    "query_prefix",
    "document_prefix",
    "query_length",
    "document_length",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "skiplist_words",
}
_PLAIN_LENGTH = 512


def detect_layout(folder: Path, architectures: list[str]) -> Layout:
    """Tell the layouts apart by their files.

    Args:
        folder: The model's folder.
        architectures: What its config.json says.
    """
    if (folder / "modules.json").is_file():
        config = read_json(folder / "config_sentence_transformers.json")
        kinds = [kind for kind, _ in read_modules(folder)]
        if (
            _PYLATE_KEYS & config.keys()
            or config.get("model_type") == "ColBERT"
            or any(kind.startswith("pylate.") for kind in kinds)
        ):
            return "pylate"
        if config.get("model_type") == "MultiVectorEncoder":
            return "sentence-transformers"
        if "HF_ColBERT" not in architectures:
            return "plain"
    if "HF_ColBERT" in architectures or (folder / "artifact.metadata").is_file():
        return "stanford"
    return "plain"


def read_recipe(
    layout: Layout,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None,
    limit: int | None,
) -> Recipe:
    """Read the recipe.

    Args:
        layout: What :func:`detect_layout` found.
        folder: The model's folder.
        tokenizer: Its tokenizer, for the ids of markers and punctuation.
        max_length: Tokens of a document at most; None for the checkpoint's own.
        limit: Tokens that the model has positions for; None for no limit.

    Raises:
        ModelLoadError: The files ask for something that is not in the vocabulary, or not known.
        ValueError: ``max_length`` is more than the model can read, or leaves no room for text.
    """
    reader = {
        "stanford": _stanford,
        "pylate": _pylate,
        "sentence-transformers": _sentence_transformers,
        "plain": _plain,
    }[layout]
    recipe = reader(folder, tokenizer, _Lengths(max_length, limit))
    n_prompt = len(tokenizer(recipe.document.prompt, add_special_tokens=False)["input_ids"])
    if recipe.room(recipe.document, n_prompt) < 1:
        raise ValueError(
            f"max_length {recipe.document.max_length} leaves no room for text beside the special "
            f"tokens: use {recipe.document.max_length + 1 - recipe.room(recipe.document, n_prompt)}"
            " or more"
        )
    n_query_prompt = len(tokenizer(recipe.query.prompt, add_special_tokens=False)["input_ids"])
    if recipe.room(recipe.query, n_query_prompt) < 1:
        raise ModelLoadError(
            f"{folder} gives queries {recipe.query.max_length} tokens, which leaves none for text"
        )
    return recipe


class _Lengths:
    """Settles document and query lengths between user, checkpoint and model."""

    def __init__(self, asked: int | None, limit: int | None) -> None:
        self._asked = asked
        self._limit = limit

    def query(self, own: int) -> int:
        return own if self._limit is None else min(own, self._limit)

    def document(self, own: int) -> int:
        return checked_max_length(self._asked, own, self._limit)


def _stanford(folder: Path, tokenizer: PreTrainedTokenizerBase, lengths: _Lengths) -> Recipe:
    metadata = read_json(folder / "artifact.metadata")
    if isinstance(metadata.get("config"), dict):  # as old versions wrote it
        metadata = metadata["config"]
    if metadata.get("interaction", "colbert") != "colbert":
        raise ModelLoadError(
            f"{folder} asks for the interaction {metadata['interaction']!r}: only 'colbert' "
            "(MaxSim) is known"
        )
    skip = _punctuation(tokenizer) if metadata.get("mask_punctuation", True) else frozenset()
    pad = tokenizer.pad_token_id
    before, after = _specials(tokenizer)
    expand_to = lengths.query(_whole(metadata, "query_maxlen", 32))
    return Recipe(
        query=Side(expand_to, _marker(tokenizer, metadata.get("query_token_id", "[unused0]"))),
        document=Side(
            lengths.document(_whole(metadata, "doc_maxlen", 220)),
            _marker(tokenizer, metadata.get("doc_token_id", "[unused1]")),
            # A text that spells out the padding token loses that token, as in the reference.
            skip=skip | {pad},
        ),
        before=before,
        after=after,
        filler=_filler(tokenizer),
        expand_to=expand_to,
        expansion=_mask_id(tokenizer),
        attend_expansion=bool(metadata.get("attend_to_mask_tokens", False)),
        replaced=pad,
    )


def _pylate(folder: Path, tokenizer: PreTrainedTokenizerBase, lengths: _Lengths) -> Recipe:
    read = read_json(folder / "config_sentence_transformers.json")
    config = {key: value for key, value in read.items() if value is not None}
    query_length = lengths.query(_whole(config, "query_length", 32))
    expand = bool(config.get("do_query_expansion", True))
    query_prefix = config.get("query_prefix", "[Q] ")
    document_prefix = config.get("document_prefix", "[D] ")
    words = config.get("skiplist_words", list(string.punctuation))
    before, after = _specials(tokenizer)
    return Recipe(
        query=Side(query_length, _marker(tokenizer, query_prefix) if query_prefix else None),
        document=Side(
            lengths.document(_whole(config, "document_length", 180)),
            _marker(tokenizer, document_prefix) if document_prefix else None,
            skip=_known_ids(tokenizer, words),
        ),
        before=before,
        after=after,
        filler=_filler(tokenizer),
        expand_to=query_length if expand else 0,
        expansion=_mask_id(tokenizer) if expand else 0,
        attend_expansion=bool(config.get("attend_to_expansion_tokens", False)) and expand,
        strip=True,
    )


def _sentence_transformers(
    folder: Path, tokenizer: PreTrainedTokenizerBase, lengths: _Lengths
) -> Recipe:
    top = read_json(folder / "config_sentence_transformers.json")
    first = read_json(folder / "sentence_bert_config.json")
    prompts = top.get("prompts") or {}
    documents = [prompts[key] for key in ("document", "passage", "corpus") if prompts.get(key)]
    own_limit = _own_limit(tokenizer)
    expansion = first.get("query_expansion") or {}
    expand_to = int(expansion.get("length") or first.get("query_length") or 0) if expansion else 0
    query_length = int(first.get("query_length") or own_limit)
    if expansion.get("strategy", "fixed") == "fixed" and expand_to:
        query_length = expand_to
    token = expansion.get("token")
    mask = _modules_config(folder, "MultiVectorMask")
    if mask.get("keep_only_token_ids") is not None:
        raise ModelLoadError(f"{folder} asks for keep_only_token_ids, which is not known here")
    skip = _known_ids(tokenizer, mask.get("skiplist_words") or [])
    tasks = mask.get("skiplist_tasks", ["document"])
    before, after = _specials(tokenizer)
    return Recipe(
        query=Side(
            lengths.query(query_length),
            prompt=prompts.get("query") or "",
            skip=skip if "query" in tasks else frozenset(),
        ),
        document=Side(
            lengths.document(int(first.get("document_length") or own_limit)),
            prompt=documents[0] if documents else "",
            skip=skip if "document" in tasks else frozenset(),
        ),
        before=before,
        after=after,
        filler=_filler(tokenizer),
        expand_to=expand_to,
        expand=expansion.get("strategy", "fixed"),
        expansion=(_marker(tokenizer, token) if token else _mask_id(tokenizer)) if expand_to else 0,
        attend_expansion=bool(expansion.get("attend", False)),
        normalize=any(kind.endswith("Normalize") for kind, _ in read_modules(folder)),
        mean=top.get("similarity_fn_name") == "meanmaxsim",
    )


def _plain(folder: Path, tokenizer: PreTrainedTokenizerBase, lengths: _Lengths) -> Recipe:
    before, after = _specials(tokenizer)
    length = lengths.document(_PLAIN_LENGTH)
    side = Side(length)
    return Recipe(side, side, before=before, after=after, filler=_filler(tokenizer))


def _whole(settings: dict[str, Any], key: str, default: int) -> int:
    value = settings.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelLoadError(f"the checkpoint's {key} is {value!r}: a number of tokens is wanted")
    return value


def _modules_config(folder: Path, kind: str) -> dict[str, Any]:
    for type_, path in read_modules(folder):
        if type_.endswith(kind):
            return read_json(path / "config.json")
    return {}


def _specials(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Special ids before and after a single text."""
    inner: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole: list[int] = tokenizer("a")["input_ids"]
    for at in range(len(whole) - len(inner) + 1):
        if whole[at : at + len(inner)] == inner:
            return tuple(whole[:at]), tuple(whole[at + len(inner) :])
    raise ModelLoadError(f"the tokenizer turns 'a' into {inner} alone but {whole} with specials")


def _marker(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    id_ = tokenizer.convert_tokens_to_ids(token)
    known = isinstance(id_, int) and (id_ != tokenizer.unk_token_id or token == tokenizer.unk_token)
    if not known:
        raise ModelLoadError(
            f"the token {token!r}, which the checkpoint asks for, is not in the tokenizer's "
            "vocabulary: the tokenizer files do not belong to these weights"
        )
    return int(cast("int", id_))


def _mask_id(tokenizer: PreTrainedTokenizerBase) -> int:
    # A tokenizer without a mask fills with its end token (as PyLate does).
    for id_ in (tokenizer.mask_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        if id_ is not None:
            return int(id_)
    raise ModelLoadError("the tokenizer has no [MASK] token to fill queries with")


def _filler(tokenizer: PreTrainedTokenizerBase) -> int:
    ids = (tokenizer.unk_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((int(id_) for id_ in ids if id_ is not None), 0)


def _punctuation(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    encoded = [tokenizer(c, add_special_tokens=False)["input_ids"] for c in string.punctuation]
    return frozenset(int(ids[0]) for ids in encoded if ids)


def _known_ids(tokenizer: PreTrainedTokenizerBase, words: list[str]) -> frozenset[int]:
    ids = (tokenizer.convert_tokens_to_ids(word) for word in words)
    # A word that the vocabulary lacks must not drop every unknown token of a document.
    return frozenset(id_ for id_ in ids if isinstance(id_, int) and id_ != tokenizer.unk_token_id)


def _own_limit(tokenizer: PreTrainedTokenizerBase) -> int:
    # Tokenizers without a limit say 1e30.
    return min(int(tokenizer.model_max_length), _PLAIN_LENGTH * 16)
