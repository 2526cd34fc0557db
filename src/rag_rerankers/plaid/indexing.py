"""colbert-ai's indexing pipeline, with our vectors, in this process.

Importing this module needs the extra ``plaid``. ``Indexer`` itself is passed by: it loads a model
by its own classes (which breaks on transformers 5, and knows one layout of checkpoint only) and
launches processes. What it launches is ``CollectionIndexer``, and that runs here step by step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from rag_rerankers.plaid.colbert_ai import load
from rag_rerankers.plaid.files import (
    Chunk,
    config,
    read_chunk,
    read_codec,
    write_chunk,
    write_lists,
    write_metadata,
)
from rag_rerankers.plaid.model import Encoded

__all__ = ["Indexing", "compressed", "n_partitions"]

_colbert = load()
_CollectionIndexer: Any = _colbert.collection_indexer
_SEED = 12345
# Passages that are encoded and compressed at once.
_CHUNK = 5000
# Vectors that are compared with all centroids at once.
_VECTORS = 1024
# torch.quantile refuses more numbers.
_MOST_NUMBERS = 1 << 24


def n_partitions(n_vectors: float) -> int:
    """Centroids that colbert-ai makes for so many vectors: the power of 2 below 16 √n.

    Example:
        >>> n_partitions(104_671)
        4096
    """
    power = 1
    while power * 2 <= 16 * n_vectors**0.5:
        power *= 2
    return power


class Indexing(_CollectionIndexer):  # type: ignore[misc]
    """One run of ``CollectionIndexer``.

    Its steps are kept: sample, train, index, finalize. They are made to work for few vectors and
    for wide ones, to draw from a generator of their own, to encode no passage twice, to say
    nothing, and to write files in this thread, where a full disk is an error and not a hang.

    Args:
        folder: Where the files go.
        texts: The passages, at least one.
        encode: Makes their vectors, float16, of the width ``dim``.
        dim: Numbers of a vector, a multiple of ``8 * nbits``.
        nbits: Bits of each number that are kept of a residual.

    Attributes:
        sizes: Passages of each chunk that was written.
        num_partitions: Centroids that were made.
    """

    def __init__(
        self,
        folder: Path,
        texts: Sequence[str],
        encode: Callable[[Sequence[str]], Encoded],
        dim: int,
        nbits: int,
    ) -> None:
        # Not super().__init__: it loads the model.
        self.verbose = 0
        self.folder = folder
        self.config = config(folder, dim, nbits)
        self.rank, self.nranks = 0, 1
        self.use_gpu = False
        self.collection = _colbert.collection(data=list(texts))
        self.encode = encode
        self.saver = _colbert.index_saver(self.config)
        self.sizes: list[int] = []
        self._random = random.Random(_SEED)
        self._sampled: list[int] = []
        self._sample = Encoded(torch.empty(0, dim), [])

    def run(self, shared_lists: object = None) -> None:
        """Make the index; without the original's barriers, which torchrun's variables set off."""
        with torch.inference_mode():
            self.setup()
            self.train(shared_lists)
            self.index()
            self.finalize()

    def setup(self) -> None:
        """Encode a sample of the passages, and decide how many centroids there are to be."""
        self._sampled = sorted(self._sample_pids())
        self._sample = self.encode([self.collection[pid] for pid in self._sampled])
        n_sample = len(self._sample.vectors)
        self.num_embeddings_est = len(self.collection) * n_sample / len(self._sampled)
        self.num_partitions = n_partitions(self.num_embeddings_est)

    def _sample_pids(self) -> list[int]:
        # As in the original, but random.sample there draws from everybody's generator.
        n_passages = len(self.collection)
        wanted = 1 + int(16 * (120 * n_passages) ** 0.5)
        return self._random.sample(range(n_passages), min(wanted, n_passages))

    def _concatenate_and_split_sample(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors to train on, and others to learn from them how large residuals are."""
        vectors = self._sample.vectors
        shuffled = vectors[
            torch.randperm(len(vectors), generator=torch.Generator().manual_seed(_SEED))
        ]
        most = min(50_000, _MOST_NUMBERS // self.config.dim)
        n_heldout = min(max(1, len(vectors) // 20), most)
        train = shuffled[n_heldout:] if len(vectors) > 1 else shuffled
        # faiss wants a vector for every centroid.
        self.num_partitions = min(self.num_partitions, len(train))
        return train, shuffled[:n_heldout]

    def _train_kmeans(self, sample: torch.Tensor, shared_lists: object) -> torch.Tensor:
        kmeans = _colbert.faiss.Kmeans(
            self.config.dim,
            self.num_partitions,
            niter=self.config.kmeans_niters,
            seed=123,
            verbose=False,  # it prints past Python
            min_points_per_centroid=1,  # else it warns, past Python
        )
        kmeans.train(sample.float().numpy())
        return torch.nn.functional.normalize(torch.from_numpy(kmeans.centroids), dim=-1)

    def _compute_avg_residual(
        self, centroids: torch.Tensor, heldout: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        codec = _colbert.residual_codec(self.config, centroids)
        codes = codec.compress_into_codes(heldout, out_device="cpu")
        residual = heldout.float() - codec.lookup_centroids(codes, out_device="cpu")
        steps = torch.arange(2**self.config.nbits) / 2**self.config.nbits
        numbers = residual.flatten()
        cutoffs = numbers.quantile(steps[1:])
        weights = numbers.quantile(steps + 0.5 / len(steps))
        return cutoffs, weights, numbers.abs().mean()

    def index(self) -> None:
        """Compress every passage, chunk by chunk."""
        codec = read_codec(self.folder, self.config.dim, self.config.nbits)
        vectors = self._sample.vectors.split(self._sample.lengths)
        sample = dict(zip(self._sampled, vectors, strict=True))
        n_vectors = 0
        for first in range(0, len(self.collection), _CHUNK):
            pids = range(first, min(first + _CHUNK, len(self.collection)))
            rest = [pid for pid in pids if pid not in sample]
            if rest:
                encoded = self.encode([self.collection[pid] for pid in rest])
                sample |= dict(zip(rest, encoded.vectors.split(encoded.lengths), strict=True))
            rows = [sample.pop(pid) for pid in pids]
            chunk = compressed(codec, Encoded(torch.cat(rows), [len(row) for row in rows]))
            write_chunk(self.folder, len(self.sizes), chunk, (first, n_vectors))
            n_vectors += len(chunk.codes)
            self.sizes.append(len(pids))

    def finalize(self) -> None:
        """Write the inverted lists and what there is to know about the whole."""
        n_chunks = len(self.sizes)
        chunk = Chunk.joined([read_chunk(self.folder, number) for number in range(n_chunks)])
        write_lists(self.folder, chunk, self.num_partitions)
        write_metadata(
            self.folder,
            self.config.dim,
            self.config.nbits,
            n_chunks,
            self.num_partitions,
            chunk,
        )


def compressed(codec: Any, encoded: Encoded) -> Chunk:
    """Vectors as the codec remembers them."""
    # The codec by itself would compare so many vectors at once that it takes two gigabytes.
    parts = [codec.compress(part) for part in encoded.vectors.split(_VECTORS)]
    return Chunk(
        torch.cat([part.codes for part in parts]),
        torch.cat([part.residuals for part in parts]),
        encoded.lengths,
    )
