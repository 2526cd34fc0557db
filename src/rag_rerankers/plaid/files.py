"""The files of a generation that colbert-ai knows, and what stands in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rag_rerankers.plaid.colbert_ai import load
from rag_rerankers.plaid.kernels import places

__all__ = [
    "CODEC",
    "Chunk",
    "chunk_files",
    "config",
    "inverted_lists",
    "read_chunk",
    "read_codec",
    "read_lists",
    "write_chunk",
    "write_lists",
    "write_metadata",
]

CODEC = ("centroids.pt", "avg_residual.pt", "buckets.pt")
"""What never changes while passages come and go."""

_LISTS = "ivf.pid.pt"


class Chunk(NamedTuple):
    """Compressed vectors of some passages.

    Attributes:
        codes: Shape (vectors,), int32: the nearest centroid of each.
        residuals: Shape (vectors, dim * nbits / 8), uint8: what the centroid misses.
        lengths: Vectors of each passage.
    """

    codes: torch.Tensor
    residuals: torch.Tensor
    lengths: list[int]

    @classmethod
    def joined(cls, chunks: Sequence[Chunk]) -> Chunk:
        """Chunks end to end."""
        return cls(
            torch.cat([chunk.codes for chunk in chunks]),
            torch.cat([chunk.residuals for chunk in chunks]),
            [length for chunk in chunks for length in chunk.lengths],
        )

    def kept(self, passages: Sequence[int]) -> Chunk:
        """Some of the passages, in this order."""
        lengths = torch.tensor(self.lengths, dtype=torch.int64)
        chosen = torch.tensor(passages, dtype=torch.int64)
        rows = places((lengths.cumsum(0) - lengths)[chosen], lengths[chosen])
        return Chunk(self.codes[rows], self.residuals[rows], lengths[chosen].tolist())


def config(folder: Path, dim: int, nbits: int) -> Any:
    """colbert-ai's settings for an index in a folder.

    Args:
        folder: Where its files are.
        dim: Numbers of a vector.
        nbits: Bits of each that are kept.
    """
    made = load().config(
        index_path=str(folder), dim=dim, nbits=nbits, kmeans_niters=4, nranks=1, rank=0, gpus=0
    )
    # Else it would compile CUDA kernels wherever there is a GPU; its own switch counts devices.
    made.total_visible_gpus = 0
    return made


def read_codec(folder: Path, dim: int, nbits: int) -> Any:
    """colbert-ai's ``ResidualCodec``; its own ``load`` takes the GPU wherever there is one."""
    centroids, average, (cutoffs, weights) = (_read(folder / name) for name in CODEC)
    return load().residual_codec(
        config(folder, dim, nbits),
        centroids,
        avg_residual=average,
        bucket_cutoffs=cutoffs,
        bucket_weights=weights,
    )


def chunk_files(number: int) -> tuple[str, str, str, str]:
    """Names of the files of a chunk."""
    return (
        f"{number}.codes.pt",
        f"{number}.residuals.pt",
        f"doclens.{number}.json",
        f"{number}.metadata.json",
    )


def read_chunk(folder: Path, number: int) -> Chunk:
    """Read a chunk."""
    codes, residuals, lengths, _ = (folder / name for name in chunk_files(number))
    return Chunk(_read(codes), _read(residuals), json.loads(lengths.read_text("utf-8")))


def write_chunk(folder: Path, number: int, chunk: Chunk, first: tuple[int, int]) -> None:
    """Write a chunk.

    Args:
        folder: Where to.
        number: Which one it is.
        chunk: What to write.
        first: Passages, and vectors, in the chunks before.
    """
    codes, residuals, lengths, about = (folder / name for name in chunk_files(number))
    torch.save(chunk.codes, codes)
    torch.save(chunk.residuals, residuals)
    lengths.write_text(json.dumps(chunk.lengths), "utf-8")
    known = {
        "passage_offset": first[0],
        "num_passages": len(chunk.lengths),
        "num_embeddings": len(chunk.codes),
        "embedding_offset": first[1],
    }
    about.write_text(json.dumps(known), "utf-8")


def inverted_lists(
    codes: torch.Tensor, lengths: Sequence[int], n_centroids: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which passages have a vector at a centroid.

    Args:
        codes: Shape (vectors,), int32.
        lengths: Vectors of each passage.
        n_centroids: How many centroids there are.

    Returns:
        Positions of passages, ascending, centroid by centroid, int32; and how many each centroid
        has, shape (centroids,), int64.

    Example:
        >>> passages, sizes = inverted_lists(torch.tensor([1, 0, 1, 1]), [1, 3], 3)
        >>> passages.tolist(), sizes.tolist()
        ([1, 0, 1], [1, 2, 0])
    """
    n_passages = max(1, len(lengths))
    passage = torch.repeat_interleave(
        torch.arange(len(lengths)), torch.tensor(lengths, dtype=torch.int64)
    )
    pairs = torch.unique(codes.long() * n_passages + passage)
    sizes = torch.bincount(pairs // n_passages, minlength=n_centroids)
    return (pairs % n_passages).int(), sizes


def write_lists(folder: Path, chunk: Chunk, n_centroids: int) -> None:
    """Write the inverted lists of all vectors."""
    torch.save(inverted_lists(chunk.codes, chunk.lengths, n_centroids), folder / _LISTS)


def read_lists(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Read what :func:`write_lists` wrote."""
    passages, sizes = _read(folder / _LISTS)
    return passages, sizes


def write_metadata(
    folder: Path, dim: int, nbits: int, n_chunks: int, n_centroids: int, chunk: Chunk
) -> None:
    """Write what colbert-ai looks for first.

    Args:
        folder: Where to.
        dim: Numbers of a vector.
        nbits: Bits of each.
        n_chunks: Chunks of the index.
        n_centroids: Its centroids.
        chunk: All of its vectors.
    """
    known = {
        "config": {"dim": dim, "nbits": nbits},
        "num_chunks": n_chunks,
        "num_partitions": n_centroids,
        "num_embeddings": len(chunk.codes),
        "avg_doclen": len(chunk.codes) / max(1, len(chunk.lengths)),
    }
    (folder / "metadata.json").write_text(json.dumps(known, indent=1), "utf-8")


def _read(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)
