"""Every kind of model that the scorers load, with the reference that its scores must equal."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.oracles import colbert, cross_encoder

from tests import token_vectors

__all__ = ["CROSS_ENCODERS", "KINDS", "LATE_INTERACTION", "Kind", "Make", "reference"]

Make = Callable[..., Path]


@dataclass(frozen=True)
class Kind:
    """A checkpoint and what is known about it.

    Attributes:
        name: Its name in test ids.
        maker: The function of ``tests.checkpoints`` that writes it.
        settings: What that function is given.
        family: How it scores.
        packs: Whether it runs packed where transformers lets its attention be replaced.
        oracle: The reference: ``pair`` (cross-encoder), ``colbert`` (the Stanford checkpoint of
            the same weights) or ``vectors`` (a plain encoder).
        longest: Tokens that it has positions for.
    """

    name: str
    maker: str
    family: Literal["cross-encoder", "late-interaction"]
    oracle: Literal["pair", "colbert", "vectors"]
    packs: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    longest: int = 512

    @property
    def fused(self) -> bool:
        """Whether its layers are run for it; ELECTRA's narrow embeddings do not allow that."""
        return self.packs and not self.name.startswith(("modernbert", "electra"))

    def __str__(self) -> str:
        return self.name


def _pair(
    name: str, maker: str, *, packs: bool = True, longest: int = 512, **settings: Any
) -> Kind:
    return Kind(name, maker, "cross-encoder", "pair", packs, settings, longest)


def _late(name: str, maker: str, oracle: Literal["colbert", "vectors"], **settings: Any) -> Kind:
    longest = 1024 if "modernbert" in name else 512
    return Kind(name, maker, "late-interaction", oracle, settings=settings, longest=longest)


CROSS_ENCODERS = (
    _pair("xlmr", "xlmr_reranker"),
    _pair("xlmr-bin", "xlmr_reranker", weights="bin"),
    _pair("bert", "bert_reranker"),
    _pair("electra", "electra_reranker"),
    _pair("roberta", "roberta_reranker"),
    _pair("modernbert-mean", "modernbert_reranker", longest=1024),
    _pair("modernbert-cls", "modernbert_reranker", pooling="cls", longest=1024),
    _pair("distilbert", "distilbert_reranker", packs=False),
    _pair("deberta", "deberta_reranker", packs=False),
    _pair("mpnet", "mpnet_reranker", packs=False),
)
LATE_INTERACTION = (
    _late("stanford", "stanford_colbert", "colbert"),
    _late("stanford-bin", "stanford_colbert", "colbert", weights="bin"),
    _late("pylate", "pylate_colbert", "colbert"),
    _late("pylate-bin", "pylate_colbert", "colbert", weights="bin"),
    _late("sentence-transformers", "st_multivector", "colbert"),
    _late("sentence-transformers-bin", "st_multivector", "colbert", weights="bin"),
    _late("encoder", "bert_encoder", "vectors"),
    _late("modernbert-encoder", "modernbert_encoder", "vectors"),
    _late("embedder", "sentence_transformer", "vectors"),
)
KINDS = CROSS_ENCODERS + LATE_INTERACTION


def reference(
    kind: Kind, make: Make, max_length: int | None = None
) -> Callable[[str, Sequence[str]], list[float]]:
    """An independent implementation of the kind's ``score``.

    Args:
        kind: The kind of model.
        make: Makes checkpoints; the fixture ``make``.
        max_length: Tokens of a pair, or of a document; None for the default.
    """
    if kind.oracle == "pair":
        pairs = _pairs(make(kind.maker, **kind.settings))
        return lambda query, texts: pairs.score(query, texts, max_length or 512)
    if kind.oracle == "colbert":
        changed = {} if max_length is None else {"doc_maxlen": max_length}
        return _colbert(make("stanford_colbert", **changed)).score
    return _vectors(make(kind.maker, **kind.settings), max_length or 512).score


_pairs = functools.cache(cross_encoder.Reference)
_colbert = functools.cache(colbert.Reference)
_vectors = functools.cache(token_vectors.Reference)
