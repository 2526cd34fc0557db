"""ColBERTv2's compression (Santhanam et al. 2022, section 3.3), learned and applied by colbert-ai.

A vector becomes the number of its nearest centroid and, for each of its numbers, one of 2, 4 or 16
steps away from it. Only what makes vectors small needs colbert-ai: comparing does not.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors

from rag_rerankers.errors import StoreError
from rag_rerankers.store.codecs import blocks

__all__ = ["ResidualCodec", "check_dim", "learn"]

_CODE = 4
"""Bytes of a centroid's number."""
_PER_CENTROID = 32
"""Vectors of the sample for each centroid at least."""
_MOST_TRAINED = 100_000
"""Vectors that centroids are learned from; more take minutes and move them little."""
_ROUNDS = 4  # as colbert-ai's configuration
_SEED = 12345
_MOST_HELD_OUT = 50_000
_MOST_NUMBERS = 1 << 24  # torch.quantile takes no more


class ResidualCodec:
    """Centroids and residuals.

    Args:
        dim: Numbers of a vector, which has unit length.
        bits: Of each number of a residual: 1, 2 or 4.
        learned: What :func:`learn` made.

    Attributes:
        record: Bytes of a vector: ``4 + dim * bits / 8``.

    Raises:
        StoreError: What was learned is damaged, or for vectors of another size.
        ValueError: ``dim`` is not a multiple of ``8 * bits``.
    """

    def __init__(self, dim: int, bits: int, learned: bytes) -> None:
        check_dim(dim, bits)
        try:
            tensors = read_tensors(learned)
            self._centroids = tensors["centroids"].float()
            self._cutoffs = tensors["cutoffs"].float()
            self._weights = tensors["weights"].float()
        except Exception as error:  # safetensors raises a type of its own
            raise StoreError(f"what the store's compression has learned is damaged: {error}") from (
                error
            )
        if self._centroids.shape[1] != dim or len(self._weights) != 1 << bits:
            raise StoreError(
                f"the store's compression has learned for {self._centroids.shape[1]} numbers and "
                f"{len(self._weights)} steps, not for {dim} and {1 << bits}"
            )
        self.dim = dim
        self.bits = bits
        self.record = _CODE + dim * bits // 8
        # What each byte stands for: 8 / bits numbers.
        self._steps = self._weights[_codes_of_bytes(bits)]

    def compress(self, vectors: torch.Tensor) -> bytes:
        """See :class:`~rag_rerankers.store.codecs.Codec`.

        Raises:
            MissingExtraError: colbert-ai is not installed.
        """
        codec = _colbert_codec(self.dim, self.bits, self._centroids, self._cutoffs, self._weights)
        made = codec.compress(vectors)
        codes = made.codes.view(-1, 1).view(torch.uint8)
        return torch.cat([codes, made.residuals], 1).numpy().tobytes()

    def decompress(self, records: torch.Tensor) -> torch.Tensor:
        """See :class:`~rag_rerankers.store.codecs.Codec`; vectors have unit length."""
        codes = (
            records[:, :_CODE]
            .clone(memory_format=torch.contiguous_format)
            .view(torch.int32)
            .flatten()
            .long()
        )
        vectors = self._steps[records[:, _CODE:].long()].view(len(records), self.dim)
        return torch.nn.functional.normalize(vectors.add_(self._centroids[codes]), dim=-1)

    def similarity(self, query: torch.Tensor, records: torch.Tensor) -> torch.Tensor:
        """See :class:`~rag_rerankers.store.codecs.Codec`."""
        out = torch.empty(len(query), len(records))
        for part, some in blocks(records, self.dim):
            out[:, part] = query @ self.decompress(some).T
        return out


def check_dim(dim: int, bits: int) -> None:
    """Refuse vectors that do not fill whole bytes as colbert-ai packs them."""
    if dim % (8 * bits):
        raise ValueError(
            f"residual{bits} needs vectors of a multiple of {8 * bits} numbers, and this model's "
            f"have {dim}: use compression='int8'"
        )


def learn(vectors: torch.Tensor, bits: int) -> bytes:
    """Learn centroids and steps from a sample, as colbert-ai does when it makes an index.

    Args:
        vectors: Shape (n, dim), float32, of unit length; some thousands at least.
        bits: Of each number of a residual.

    Raises:
        MissingExtraError: colbert-ai or faiss is not installed.
        ValueError: No vectors, or of a size that cannot be packed.
    """
    from rag_rerankers.plaid.colbert_ai import load

    n, dim = vectors.shape
    check_dim(dim, bits)
    if not n:
        raise ValueError(f"residual{bits} cannot learn from no vectors at all")
    shuffled = vectors[torch.randperm(n, generator=torch.Generator().manual_seed(_SEED))]
    n_held_out = min(max(1, n // 20), _MOST_HELD_OUT, _MOST_NUMBERS // dim)
    held_out, train = shuffled[:n_held_out], shuffled[n_held_out:] if n > 1 else shuffled
    train = train[:_MOST_TRAINED]
    kmeans = load().faiss.Kmeans(
        dim,
        _n_centroids(len(train)),
        niter=_ROUNDS,
        seed=_SEED,
        verbose=False,
        min_points_per_centroid=1,
    )
    kmeans.train(train.numpy())
    # As it will be kept, so that residuals are measured from where they will be counted.
    centroids = torch.nn.functional.normalize(torch.from_numpy(kmeans.centroids), dim=-1)
    centroids = centroids.half().float()
    codec = _colbert_codec(dim, bits, centroids)
    codes = codec.compress_into_codes(held_out, out_device="cpu")
    residuals = (held_out - codec.lookup_centroids(codes, out_device="cpu")).flatten()
    quantiles = torch.arange(0, 1 << bits) / (1 << bits)
    return write_tensors(
        {
            "centroids": centroids.half(),
            "cutoffs": residuals.quantile(quantiles[1:]),
            "weights": residuals.quantile(quantiles + 0.5 / (1 << bits)),
        }
    )


def _n_centroids(n_vectors: int) -> int:
    """colbert-ai's number, the power of 2 below 16 √n, or fewer if the sample is small."""
    power = 1
    while power * 2 <= min(16 * n_vectors**0.5, n_vectors / _PER_CENTROID):
        power *= 2
    return power


def _colbert_codec(
    dim: int,
    bits: int,
    centroids: torch.Tensor,
    cutoffs: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> Any:
    from rag_rerankers.plaid.colbert_ai import load

    config = SimpleNamespace(total_visible_gpus=0, dim=dim, nbits=bits, rank=0)
    return load().residual_codec(config, centroids, bucket_cutoffs=cutoffs, bucket_weights=weights)


def _codes_of_bytes(bits: int) -> torch.Tensor:
    """Shape (256, 8 / bits): what colbert-ai's bytes hold, the lowest bit of a number first."""
    byte = torch.arange(256)[:, None, None]
    place = 7 - torch.arange(8).view(-1, bits)
    return (((byte >> place) & 1) << torch.arange(bits)).sum(-1)
