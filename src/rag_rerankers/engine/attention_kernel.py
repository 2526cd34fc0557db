"""Attention on the CPU by machine code of our own, made when a model is loaded.

torch's kernel for CPUs calls a general library for each small product, in float32. Here products,
softmax and layout are one piece of code, which multiplies numbers of 16 bits where the model is
rounded at least as far anyway. It needs llvmlite (the extra ``cpu``) and an x86 CPU with AVX2;
without them torch's kernel is used, and scores are the same but for rounding.
"""

from __future__ import annotations

import ctypes
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import scaled_dot_product_attention

from rag_rerankers.engine.machine_code import cpu_vectors, divide, machine_code
from rag_rerankers.once import OncePerKey

if TYPE_CHECKING:
    from rag_rerankers.engine.state_code import KernelKind

__all__ = ["AttentionKernel", "kernel_for"]

logger = logging.getLogger(__name__)

_ARGUMENTS = (*[ctypes.c_void_p] * 7, *[ctypes.c_int64] * 12, ctypes.c_float)
_ALONE = 5e7
"""Multiplications of a call that is not worth a second thread: about half a millisecond."""
_TOLERANCE = {"float32": 1e-5, "int16": 1e-3, "bfloat16": 2e-2}
"""Largest difference from torch that is rounding."""


class AttentionKernel:
    """Softmax attention within each sequence of a packed row.

    Args:
        kind: What it computes.

    Raises:
        RuntimeError: It cannot be made on this machine.
    """

    def __init__(self, kind: KernelKind) -> None:
        from rag_rerankers.engine.attention_code import FUNCTION, scratch_bytes, write_kernel

        self._kind = kind
        self._scratch_bytes = scratch_bytes
        self._function = machine_code(write_kernel(kind), {FUNCTION: _ARGUMENTS})[FUNCTION]

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        starts: torch.Tensor,
        lengths: Sequence[int],
        attended: Sequence[int],
        scaling: float,
    ) -> torch.Tensor:
        """Compute it.

        Args:
            query: Shape (tokens, heads, dim); the numbers of a head lie side by side.
            key: As ``query``.
            value: As ``query``.
            starts: Shape (n + 1,), int32: where each sequence starts.
            lengths: Tokens of each sequence, at least 1.
            attended: How many of its first tokens may be looked at, at least 1.
            scaling: Factor on the products, above 0.

        Returns:
            Shape (tokens, heads, dim), in the states' dtype; heads lie apart as those of queries.
        """
        heads, longest = query.shape[1], max(lengths)
        out = torch.empty_like(query)
        seen = torch.tensor(attended, dtype=torch.int32)
        states = (query, key, value, out)
        addresses = [tensor.data_ptr() for tensor in (*states, starts, seen)]
        strides = [tensor.stride(axis) for axis in (0, 1) for tensor in states]

        def some_heads(first: int, stop: int) -> None:
            scratch = torch.empty(self._scratch_bytes(self._kind, longest), dtype=torch.uint8)
            # Weights are powers of two: they are computed in fewer steps than powers of e.
            self._function(
                *(*addresses, scratch.data_ptr(), first, stop, heads, *strides, longest),
                scaling / math.log(2),
            )

        work = 2 * sum(length * length for length in lengths) * heads * self._kind.dim
        divide(some_heads, heads * len(lengths), 1 if work < _ALONE else torch.get_num_threads())
        return out


def kernel_for(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, halves: bool
) -> AttentionKernel | None:
    """The kernel for such states, if there is one.

    Args:
        query: As :class:`AttentionKernel` takes it.
        key: As ``query``.
        value: As ``query``.
        halves: Whether states in float32 may be rounded to 16 bits, if that is faster.
    """
    if query.device.type != "cpu" or query.dtype not in (torch.float32, torch.bfloat16):
        return None
    if torch.is_grad_enabled() and any(part.requires_grad for part in (query, key, value)):
        return None
    dim = query.shape[2]
    for part in (query, key, value):
        if part.shape[1:] != query.shape[1:] or part.stride(2) != 1:
            return None
    vectors = cpu_vectors()
    if not vectors.lanes or dim % vectors.lanes:
        return None
    stored, multiplied = query.dtype == torch.bfloat16, "float32"
    if (stored or halves) and not dim % (2 * vectors.lanes):
        multiplied = "bfloat16" if vectors.halves else "int16"
    asked = (dim, vectors.lanes, stored, multiplied)
    return _kernels.get(asked, lambda: _tried(*asked))


_kernels = OncePerKey["tuple[int, int, bool, str]", "AttentionKernel | None"]()


def _tried(dim: int, lanes: int, stored: int, multiplied: str) -> AttentionKernel | None:
    """The kernel of this kind if it can be made, and computes what torch does."""
    from rag_rerankers.engine.state_code import KernelKind, Numbers

    kind = KernelKind(dim, lanes, bool(stored), Numbers(multiplied))
    try:
        difference = _difference_from_torch(kernel := AttentionKernel(kind), kind)
    except Exception as error:
        # Perhaps an LLVM older than the CPU, or a system that forbids to make machine code.
        logger.warning("attention is left to torch: no machine code for %s: %s", kind, error)
        return None
    rounded = "bfloat16" if kind.stored_half else multiplied
    if difference <= _TOLERANCE[rounded]:  # False for NaN as well
        return kernel
    logger.warning("attention is left to torch: %s is wrong by %.0e", kind, difference)
    return None


def _difference_from_torch(kernel: AttentionKernel, kind: KernelKind) -> float:
    """Relative to the size of the numbers, for two small sequences."""
    lengths, attended, heads = (45, 3), (38, 3), 2
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(sum(lengths), 3, heads, kind.dim, generator=generator)
    states = states.to(torch.bfloat16 if kind.stored_half else torch.float32)
    wanted = []
    for rows, seen in zip(states.float().split(lengths), attended, strict=True):
        query, key, value = rows.permute(1, 2, 0, 3)
        part = scaled_dot_product_attention(query, key[:, :seen], value[:, :seen])
        wanted.append(part.transpose(0, 1))
    expected = torch.cat(wanted)
    got = kernel(
        *states.unbind(1),
        starts=torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32),
        lengths=lengths,
        attended=attended,
        scaling=kind.dim**-0.5,
    )
    return float((got.float() - expected).norm() / expected.norm())
