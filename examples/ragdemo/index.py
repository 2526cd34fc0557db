"""Which passages a vector store has to embed again: only those whose content has changed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ragdemo.passages import Passage
from ragdemo.screen import progress_bar

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

__all__ = [
    "CHROMA_SETTINGS",
    "Changes",
    "IndexFolderError",
    "batches",
    "changes",
    "chroma_folder",
    "exclusive",
    "metadata",
    "open_chroma",
]

# Cosine, and a wide search beam: the first stage should be the embeddings' fault alone.
CHROMA_SETTINGS = {"hnsw:space": "cosine", "hnsw:search_ef": 200}


class IndexFolderError(RuntimeError):
    """A folder that Chroma cannot use; the message says which, why, and what to do."""


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


@contextlib.contextmanager
def chroma_folder(folder: Path) -> Iterator[None]:
    """Make the folder, and explain what Chroma does not like about its files.

    Raises:
        IndexFolderError: The folder cannot be made, or Chroma cannot use what is in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IndexFolderError(
            f"cannot make the folder {str(folder)!r} ({error.strerror}); give another --output"
        ) from error
    from chromadb.errors import ChromaError

    try:
        yield
    except ChromaError as error:
        raise IndexFolderError(
            f"Chroma cannot use the files in {str(folder)!r} ({error}); remove that folder, and "
            "the next run makes it afresh, or give another --output"
        ) from error


@contextlib.contextmanager
def exclusive(folder: Path, console: Console) -> Iterator[None]:
    """Hold the right to change a folder's index: Chroma does not keep two processes apart."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with console.status("another run is indexing: waiting for it"):
            lock.acquire()
    except OSError as error:
        raise IndexFolderError(
            f"cannot write into {str(folder)!r} ({error.strerror}); give another --output"
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_chroma(folder: Path) -> ClientAPI:
    """Chroma's files in a folder, without telemetry."""
    import chromadb
    from chromadb.config import Settings

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


def batches(
    passages: Sequence[Passage], console: Console, size: int = 32
) -> Iterator[list[Passage]]:
    """The passages in batches, with a progress bar."""
    if not passages:
        return
    left = iter(passages)
    with progress_bar(console) as progress:
        task = progress.add_task("embedding passages", total=len(passages))
        while batch := list(islice(left, size)):
            yield batch
            progress.advance(task, len(batch))


def _sha256(passage: Passage) -> str:
    content = "\0".join((passage.title, passage.source, passage.text))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
