"""The names that clients know models by."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rag_rerankers.scorers.cascade import stage_names

__all__ = ["ServedName", "parse_name"]


class ServedName(NamedTuple):
    """A model and its public name."""

    name: str
    model: str


def parse_name(model: str) -> ServedName:
    """Split ``"name=model"``; a model without a name has its own, a folder its last part.

    Where a folder lies is nobody's business.

    Raises:
        TypeError, ValueError: Not a string, or nothing on one side of the sign.

    Example:
        >>> parse_name("rerank-v3.5=bge-reranker-v2-m3")
        ServedName(name='rerank-v3.5', model='bge-reranker-v2-m3')
        >>> parse_name("colbertv2>bge-reranker-v2-m3").name
        'colbertv2>bge-reranker-v2-m3'
    """
    if not isinstance(model, str):
        raise TypeError(f"a served model must be a string, not {model!r}")
    name, sign, rest = model.partition("=")
    if not sign or Path(model).is_dir():
        stages = stage_names(model) or [model]
        own = [_own_name(stage) for stage in stages]
        name, rest = model if own == stages else ">".join(own), model
    if not name.strip() or not rest.strip():
        raise ValueError(f"{model!r} must be a model or NAME=MODEL")
    return ServedName(name.strip(), rest.strip())


def _own_name(model: str) -> str:
    folder = Path(model)
    return folder.resolve().name if folder.is_dir() else model
