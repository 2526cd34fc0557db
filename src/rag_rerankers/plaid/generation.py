"""One state of an index: read whole, never changed.

Importing this module needs the extra ``plaid``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rag_rerankers.errors import PlaidIndexError
from rag_rerankers.plaid.catalogue import Catalogue, read_passages
from rag_rerankers.plaid.files import Chunk, read_chunk
from rag_rerankers.plaid.folder import Folder, checksum
from rag_rerankers.plaid.indexing import n_partitions
from rag_rerankers.plaid.searching import Searching

__all__ = ["FORMAT", "PROBE", "RECORD", "Generation", "Record", "Sum", "newest", "texts_file"]

RECORD = "index.json"
"""What there is to know about a generation; holds the checksums of all other files."""
PROBE = "probe.pt"
"""The model's vectors of fixed texts."""
FORMAT = 1
"""Version of what these files mean."""

Sum = tuple[int, int]
"""Size in bytes, and CRC-32."""


@dataclass(frozen=True, slots=True)
class Record:
    """What there is to know about a generation before it is read.

    Attributes:
        model: What loads the model again; None for a scorer of the caller's own.
        shown: What the model was called.
        options: How it was loaded, as far as that changes what it reads.
        recipe: Digest of its markers, prompts and the like.
        dim: Numbers of its vectors.
        stored_dim: The same in the index, where zeros fill vectors up.
        nbits: Bits of each number that are kept of a residual.
        n_centroids: Centroids.
        chunks: Passages of each chunk.
        deleted: Positions of passages that are gone.
    """

    model: str | None
    shown: str
    options: dict[str, Any]
    recipe: str
    dim: int
    stored_dim: int
    nbits: int
    n_centroids: int = 0
    chunks: tuple[int, ...] = ()
    deleted: tuple[int, ...] = ()


class Generation:
    """An index in memory.

    Args:
        folder: Where it is.

    Attributes:
        folder: Where it was; the files may be gone since.
        record: What there is to know about it.
        probe: The model's vectors of fixed texts.
        catalogue: Its passages.
        chunk: Their vectors.
        searching: Finds them.

    Raises:
        PlaidIndexError: A file is damaged, or of another version.
        FileNotFoundError: A file is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record, self.files = _read_record(folder)
        for name, (size, crc) in self.files.items():
            if checksum(folder / name) != (size, crc):
                raise PlaidIndexError(
                    f"{folder / name} is damaged: it is not what was written. "
                    "Build the index anew, with overwrite=True"
                )
        self.probe: torch.Tensor = torch.load(folder / PROBE, weights_only=True)
        numbers = range(len(self.record.chunks))
        passages = [p for number in numbers for p in read_passages(folder / texts_file(number))]
        self.catalogue = Catalogue(passages, self.record.deleted)
        self.chunk = Chunk.joined([read_chunk(folder, number) for number in numbers])
        self.searching = Searching(
            folder,
            self.chunk,
            self.record.deleted,
            dim=self.record.dim,
            stored_dim=self.record.stored_dim,
            nbits=self.record.nbits,
        )

    def outgrown(self, n_new: int) -> bool:
        """Whether so many more vectors would be too many for the centroids.

        The number of centroids goes with the root of the number of vectors: a quarter of what is
        wanted is reached at sixteen times the vectors. Where there are fewer than 256 vectors,
        each has a centroid of its own, and new ones would have none that is near.
        """
        wanted = n_partitions(len(self.chunk.codes) + n_new)
        have = self.record.n_centroids
        return wanted >= 4 * have or have < min(wanted, 256)


def newest(folder: Folder) -> Generation:
    """Read the newest generation of an index.

    Raises:
        PlaidIndexError: There is none, or it is damaged.
    """
    found = folder.newest()
    missing: FileNotFoundError | None = None
    while found is not None:
        try:
            return Generation(found)
        except FileNotFoundError as error:
            missing = error
        # Unless a newer one has taken its place while this was read.
        before, found = found, folder.newest()
        if found == before:
            break
    if missing is not None:
        raise PlaidIndexError(
            f"{missing.filename} is missing: build the index anew, with overwrite=True"
        ) from missing
    raise PlaidIndexError(
        f"{folder.path} holds no finished index: check the path, or call PlaidIndex.build"
    )


def _read_record(folder: Path) -> tuple[Record, dict[str, Sum]]:
    try:
        content = json.loads((folder / RECORD).read_text("utf-8"))
        found = content.pop("format")
        if found == FORMAT:
            files = {name: (size, crc) for name, (size, crc) in content.pop("files").items()}
            content["chunks"] = tuple(content["chunks"])
            content["deleted"] = tuple(content["deleted"])
            return Record(**content), files
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlaidIndexError(
            f"{folder / RECORD} is damaged ({error}): build the index anew, with overwrite=True"
        ) from error
    raise PlaidIndexError(
        f"{folder} has the format {found!r}, and this version of rag-rerankers reads {FORMAT}: "
        "update rag-rerankers, or build the index anew, with overwrite=True"
    )


def texts_file(number: int) -> str:
    """Name of the file with the passages of a chunk."""
    return f"passages.{number}.jsonl"
