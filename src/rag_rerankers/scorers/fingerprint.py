"""What a text's vectors depend on beside the text, as 32 bytes."""

from __future__ import annotations

from dataclasses import fields
from hashlib import blake2b
from pathlib import Path

import torch

from rag_rerankers.engine.linear import int8_levels
from rag_rerankers.scorers.recipe import Recipe, Side

__all__ = ["fingerprint"]

_VERSION = b"rag-rerankers token vectors 1"
_SUFFIXES = {".safetensors", ".bin", ".json", ".txt", ".model", ".metadata"}
_READ = 1 << 22


def fingerprint(folder: Path, recipe: Recipe, dtype: torch.dtype, long_documents: str) -> bytes:
    """Hash a model's files and how it is used.

    The path and the time of the files do not matter: a model that was copied or downloaded again
    finds its vectors.

    Args:
        folder: The model's files; all that may change a vector are read, weights included.
        recipe: Markers, lengths, what is skipped.
        dtype: What is multiplied.
        long_documents: ``"truncate"`` or ``"max_passage"``.
    """
    found = blake2b(_VERSION, digest_size=32)
    told = [str(dtype), long_documents, *_told(recipe)]
    if dtype == torch.int8:
        told.append(str(int8_levels()))  # CPUs differ in the bits that they multiply
    found.update("\n".join(told).encode())
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _SUFFIXES or not path.is_file():
            continue
        content = blake2b(digest_size=32)
        with path.open("rb") as file:
            while part := file.read(_READ):
                content.update(part)
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + content.digest())
    return found.digest()


def _told(record: Recipe | Side) -> list[str]:
    """A record's fields as text; sets have no order of their own."""
    told = []
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Side):
            value = _told(value)
        elif isinstance(value, frozenset):
            value = sorted(value)
        told.append(f"{field.name}={value!r}")
    return told
