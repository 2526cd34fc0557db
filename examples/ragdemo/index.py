"""Passages in Chroma, embedded again only where their content has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import chromadb
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from rich.progress import track

from ragdemo.passages import Passage

__all__ = ["Changes", "open_index"]

_BATCH = 32


@dataclass(frozen=True)
class Changes:
    """What :func:`open_index` had to do.

    Attributes:
        embedded: Passages that were new or changed.
        kept: Passages that were there already.
        removed: Passages that no longer exist.
    """

    embedded: int
    kept: int
    removed: int


def open_index(
    folder: Path, collection: str, passages: Sequence[Passage], embeddings: Embeddings
) -> tuple[Chroma, Changes]:
    """Open the collection and bring it up to date with the passages.

    Every entry carries the SHA-256 of its text: an unchanged passage is never embedded twice, and
    a run that was broken off goes on where it stopped.

    Args:
        folder: Where Chroma keeps its files.
        collection: Name of the collection.
        passages: What it is to hold, and nothing else.
        embeddings: Text to vectors.
    """
    store = Chroma(
        collection_name=collection,
        embedding_function=embeddings,
        client=chromadb.PersistentClient(
            path=str(folder), settings=chromadb.Settings(anonymized_telemetry=False)
        ),
        # A wide search beam: the first stage should be the embeddings' fault alone.
        collection_metadata={"hnsw:space": "cosine", "hnsw:search_ef": 200},
    )
    stored = store.get(include=["metadatas"])
    there = {
        id_: (metadata or {}).get("sha256")
        for id_, metadata in zip(stored["ids"], stored["metadatas"], strict=True)
    }
    wanted = {passage.id: passage for passage in passages}
    gone = [id_ for id_ in there if id_ not in wanted]
    if gone:
        store.delete(ids=gone)
    changed = [passage for passage in passages if there.get(passage.id) != _sha256(passage)]
    starts = range(0, len(changed), _BATCH)
    for start in track(starts, description="embedding passages", disable=not changed):
        batch = changed[start : start + _BATCH]
        # With ids that exist already, Chroma replaces the entry.
        store.add_documents([_document(passage) for passage in batch], ids=[p.id for p in batch])
    return store, Changes(len(changed), len(passages) - len(changed), len(gone))


def _document(passage: Passage) -> Document:
    metadata = {
        "passage": passage.id,
        "title": passage.title,
        "source": passage.source,
        "sha256": _sha256(passage),
    }
    return Document(id=passage.id, page_content=passage.text, metadata=metadata)


def _sha256(passage: Passage) -> str:
    content = "\0".join((passage.title, passage.source, passage.text))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
