"""Which passages a vector store has to embed again: only those whose content has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from ragdemo.passages import Passage

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

__all__ = ["CHROMA_SETTINGS", "Changes", "batches", "changes", "metadata", "open_chroma"]

# Cosine, and a wide search beam: the first stage should be the embeddings' fault alone.
CHROMA_SETTINGS = {"hnsw:space": "cosine", "hnsw:search_ef": 200}


@dataclass(frozen=True)
class Changes:
    """What has to be done to bring a store up to date.

    Attributes:
        new: Passages to embed.
        removed: Ids to delete: passages that are gone, and the old versions of changed ones.
        kept: How many passages are there unchanged.
    """

    new: tuple[Passage, ...]
    removed: tuple[str, ...]
    kept: int

    def __str__(self) -> str:
        """For people."""
        total = len(self.new) + self.kept
        return f"{total} passages in Chroma: {len(self.new)} to embed, {self.kept} unchanged"


def open_chroma(folder: Path) -> ClientAPI:
    """Chroma's files in a folder, without telemetry."""
    import chromadb
    from chromadb.config import Settings

    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(anonymized_telemetry=False)
    return chromadb.PersistentClient(path=str(folder), settings=settings)


def changes(stored: Mapping[str, Mapping[str, Any] | None], wanted: Sequence[Passage]) -> Changes:
    """Compare a store with what it should hold.

    Every entry carries the SHA-256 of its passage: what has not changed is never embedded twice,
    and a run that was broken off goes on where it stopped.

    Args:
        stored: Id to metadata of every entry of the store.
        wanted: The passages that it should hold, and nothing else.
    """
    found = {id_: (entry or {}).get("sha256") for id_, entry in stored.items()}
    new = tuple(p for p in wanted if found.get(p.id) != _sha256(p))
    stale = {p.id for p in new} | (found.keys() - {p.id for p in wanted})
    removed = tuple(sorted(stale & found.keys()))
    return Changes(new, removed, kept=len(wanted) - len(new))


def metadata(passage: Passage) -> dict[str, str]:
    """What is stored beside a passage's text."""
    return {
        "passage": passage.id,
        "title": passage.title,
        "source": passage.source,
        "sha256": _sha256(passage),
    }


def batches(passages: Sequence[Passage], size: int = 32) -> Iterator[list[Passage]]:
    """The passages in batches, with a progress bar."""
    left = iter(passages)
    with Progress(disable=not passages) as progress:
        task = progress.add_task("embedding passages", total=len(passages))
        while batch := list(islice(left, size)):
            yield batch
            progress.advance(task, len(batch))


def _sha256(passage: Passage) -> str:
    content = "\0".join((passage.title, passage.source, passage.text))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
