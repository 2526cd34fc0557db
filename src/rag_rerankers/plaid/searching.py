"""colbert-ai's ``IndexScorer``, fed with query vectors of ours.

Importing this module needs the extra ``plaid``. ``Searcher`` itself is passed by: it encodes the
query by colbert-ai's own model classes (which breaks on transformers 5, and knows one layout of
checkpoint only), and remembers the settings of its first search for all later ones. All the rest
of its work is ``IndexScorer.rank``, which runs here with settings made for each search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rag_rerankers.plaid.colbert_ai import load
from rag_rerankers.plaid.files import Chunk, read_codec, read_lists
from rag_rerankers.plaid.kernels import decompress_residuals, filter_pids, segmented_lookup
from rag_rerankers.scorers.maxsim import maxsim

__all__ = ["SearchSettings", "Searching"]

_colbert = load()
_StridedTensor: Any = _colbert.strided_tensor
_IndexScorer: Any = _colbert.index_scorer
# Passages whose vectors are decompressed at once: few enough to stay in the processor's cache.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How hard to look; what ``Searcher`` would choose for its first search.

    Attributes:
        wanted: How many passages are to be found, if there are so many.
        ncells: Centroids that are visited for each query vector, to begin with.
        centroid_score_threshold: Similarity from which on a centroid counts in the first look.
        ndocs: Passages that are left after the first look; a quarter of them gets a full score.
        query_maxlen: Query vectors that choose centroids: all of them.
    """

    wanted: int
    ncells: int
    centroid_score_threshold: float
    ndocs: int
    query_maxlen: int

    @classmethod
    def to_find(cls, wanted: int, n_query: int, n_centroids: int) -> SearchSettings:
        """Settings to find so many passages for a query of so many vectors.

        Example:
            >>> SearchSettings.to_find(10, 32, 4096).ndocs
            256
            >>> SearchSettings.to_find(2000, 32, 4096).ndocs
            8000
        """
        if wanted <= 10:
            return cls(wanted, 1, 0.5, 256, n_query)
        if wanted <= 100:
            return cls(wanted, min(2, n_centroids), 0.45, 1024, n_query)
        return cls(wanted, min(4, n_centroids), 0.4, max(4 * wanted, 4096), n_query)


class _Lists(_StridedTensor):  # type: ignore[misc]
    """Inverted lists, looked up without compiled code."""

    def __init__(self, packed: torch.Tensor, lengths: torch.Tensor) -> None:
        # Not super().__init__: it compiles.
        self.tensor = packed
        self.lengths = lengths
        self.offsets = lengths.cumsum(0) - lengths
        self.use_gpu = False

    def lookup(self, pids: torch.Tensor, output: str = "packed") -> tuple[torch.Tensor, Any]:
        lengths = self.lengths[pids]
        return segmented_lookup(self.tensor, lengths, self.offsets[pids]), lengths


class Searching(_IndexScorer):  # type: ignore[misc]
    """An index in memory. Searching changes nothing in it: threads share it.

    Args:
        folder: The generation's folder.
        chunk: All of its vectors.
        deleted: Positions of passages that are not to be found.
        dim: Numbers of a vector as the model makes it.
        stored_dim: Numbers of a vector in the index; zeros fill it up.
        nbits: Bits of each number that are kept of a residual.
    """

    def __init__(
        self,
        folder: Path,
        chunk: Chunk,
        deleted: Sequence[int],
        *,
        dim: int,
        stored_dim: int,
        nbits: int,
    ) -> None:
        # Not super().__init__: it compiles, prints, and takes the GPU wherever there is one.
        self.index_path = str(folder)
        self.use_gpu = False
        self.load_index_with_mmap = False
        self.codec = read_codec(folder, stored_dim, nbits)
        self.ivf = _Lists(*read_lists(folder))
        self.doclens = torch.tensor(chunk.lengths, dtype=torch.int64)
        self.offsets = self.doclens.cumsum(0) - self.doclens
        self.embeddings = _colbert.residual_codec.Embeddings(chunk.codes, chunk.residuals)
        self.dim = dim
        self._alive = torch.ones(len(chunk.lengths), dtype=torch.bool)
        self._alive[torch.tensor(list(deleted), dtype=torch.int64)] = False

    def search(self, query: torch.Tensor, wanted: int) -> tuple[list[int], list[float]]:
        """Find passages.

        Args:
            query: Shape (query vectors, dim), float32, of unit length.
            wanted: How many; at least 1.

        Returns:
            Positions of ``wanted`` passages, fewer only where there are no more, and their scores
            by the compressed vectors; best first.
        """
        if not bool(self._alive.any()):
            return [], []
        filled = torch.nn.functional.pad(query, (0, self.codec.dim - self.dim))
        settings = SearchSettings.to_find(wanted, len(query), len(self.codec.centroids))
        pids, scores = self.rank(settings, filled[None], filter_fn=self._living)
        return pids[:wanted], scores[:wanted]

    def retrieve(
        self,
        config: SearchSettings,
        Q: torch.Tensor,  # noqa: N803
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Candidates, from more and more cells until there are enough that are not deleted."""
        while True:
            pids, centroid_scores = super().retrieve(config, Q)
            enough = min(config.wanted, int(self._alive.sum()))
            if len(self._living(pids)) >= enough or config.ncells >= len(self.codec.centroids):
                return pids, centroid_scores
            more = min(2 * config.ncells, len(self.codec.centroids))
            config = replace(config, ncells=more)

    def _living(self, pids: torch.Tensor) -> torch.Tensor:
        return pids[self._alive[pids.long()]]

    def score_pids(
        self,
        config: SearchSettings,
        Q: torch.Tensor,  # noqa: N803
        pids: torch.Tensor,
        centroid_scores: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of the best candidates, as the original computes them on a CPU."""
        near = centroid_scores.max(-1).values >= config.centroid_score_threshold
        pids = filter_pids(
            pids,
            centroid_scores,
            self.embeddings.codes,
            self.doclens,
            self.offsets,
            near,
            config.ndocs,
        )
        query = Q[0, :, : self.dim]
        scores = [self._scores(query, part) for part in pids.split(_AT_ONCE)]
        return torch.cat(scores), pids

    def _scores(self, query: torch.Tensor, pids: torch.Tensor) -> torch.Tensor:
        vectors = decompress_residuals(
            pids,
            self.doclens,
            self.offsets,
            self.codec.bucket_weights,
            self.codec.reversed_bit_map,
            self.codec.decompression_lookup_table,
            self.embeddings.residuals,
            self.embeddings.codes,
            self.codec.centroids,
        )
        vectors = torch.nn.functional.normalize(vectors[:, : self.dim])
        return maxsim(query, vectors, self.doclens[pids.long()].tolist())
