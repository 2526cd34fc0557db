"""How token vectors are made small, and compared without being made large again all at once.

Every codec turns a vector into a record of one size, so that records of many texts can be put end
to end and compared in one go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

__all__ = ["Codec", "Float16Codec", "Int8Codec", "bits_of", "blocks", "make_codec"]

_BLOCK = 1 << 20
"""Numbers that are float32 at a time: 4 MiB."""


class Codec(Protocol):
    """Vectors to records and back.

    Attributes:
        record: Bytes of a vector.
    """

    record: int

    def compress(self, vectors: torch.Tensor) -> bytes:
        """Vectors, shape (n, dim), float32, on the CPU, to n records."""
        ...

    def decompress(self, records: torch.Tensor) -> torch.Tensor:
        """Records, shape (n, record), uint8, to what is left of the vectors, (n, dim), float32."""
        ...

    def similarity(self, query: torch.Tensor, records: torch.Tensor) -> torch.Tensor:
        """Products of query vectors with stored ones, in bounded memory.

        Args:
            query: Shape (query tokens, dim), float32, on the CPU.
            records: Shape (n, record), uint8.

        Returns:
            Shape (query tokens, n), float32.
        """
        ...


def blocks(records: torch.Tensor, dim: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """Records in parts that are small when they are float32."""
    size = max(1, _BLOCK // dim)
    for first in range(0, len(records), size):
        part = slice(first, first + size)
        yield part, records[part]


class Float16Codec:
    """Half precision: 2 bytes a number.

    Args:
        dim: Numbers of a vector.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.record = 2 * dim

    def compress(self, vectors: torch.Tensor) -> bytes:
        """See :class:`Codec`."""
        return vectors.to(torch.float16).numpy().tobytes()

    def decompress(self, records: torch.Tensor) -> torch.Tensor:
        """See :class:`Codec`."""
        return records.view(torch.float16).float()

    def similarity(self, query: torch.Tensor, records: torch.Tensor) -> torch.Tensor:
        """See :class:`Codec`."""
        out = torch.empty(len(query), len(records))
        for part, some in blocks(records, self.dim):
            out[:, part] = query @ self.decompress(some).T
        return out


class Int8Codec:
    """A whole number of -127..127 for each number, and a scale for each vector.

    ``v[i] = s q[i]`` with ``s = max_i |v[i]| / 127``, kept in half precision.

    Args:
        dim: Numbers of a vector.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.record = dim + 2

    def compress(self, vectors: torch.Tensor) -> bytes:
        """See :class:`Codec`."""
        # Levels are counted in the scale as it is kept, or its rounding would be an error of its
        # own. It must not round to 0, nor down so far that the largest number has no level.
        scale = (vectors.abs().amax(dim=1, keepdim=True) / 126.9).clamp_min(1e-7).half()
        levels = (vectors / scale.float()).round_().clamp_(-127, 127).to(torch.int8)
        return torch.cat([levels.view(torch.uint8), scale.view(torch.uint8)], 1).numpy().tobytes()

    def decompress(self, records: torch.Tensor) -> torch.Tensor:
        """See :class:`Codec`."""
        levels, scale = self._parts(records)
        return levels * scale[:, None]

    def similarity(self, query: torch.Tensor, records: torch.Tensor) -> torch.Tensor:
        """See :class:`Codec`."""
        out = torch.empty(len(query), len(records))
        for part, some in blocks(records, self.dim):
            levels, scale = self._parts(some)
            torch.mul(query @ levels.T, scale, out=out[:, part])
        return out

    def _parts(self, records: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        levels = records[:, : self.dim].view(torch.int8).float()
        scale = (
            records[:, self.dim :]
            .clone(memory_format=torch.contiguous_format)
            .view(torch.float16)
            .float()
            .flatten()
        )
        return levels, scale


def bits_of(compression: str) -> int | None:
    """Bits of a residual's numbers; None for a compression that learns nothing.

    Example:
        >>> bits_of("residual2"), bits_of("int8")
        (2, None)
    """
    name, bits = compression[:-1], compression[-1]
    return int(bits) if name == "residual" else None


def make_codec(compression: str, dim: int, learned: bytes | None = None) -> Codec:
    """The codec of a name.

    Args:
        compression: One of ``COMPRESSIONS``.
        dim: Numbers of a vector.
        learned: What the compression has learned, if it learns something.
    """
    bits = bits_of(compression)
    if bits is None:
        return Int8Codec(dim) if compression == "int8" else Float16Codec(dim)
    from rag_rerankers.store.residual import ResidualCodec

    assert learned is not None
    return ResidualCodec(dim, bits, learned)
