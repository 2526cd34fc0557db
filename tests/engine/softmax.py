"""Kernels of each kind, and softmax attention spelled out in float64."""

from __future__ import annotations

import numpy as np
import torch

from rag_rerankers.engine import machine_code
from rag_rerankers.engine.attention_kernel import AttentionKernel
from rag_rerankers.engine.machine_code import cpu_vectors
from rag_rerankers.engine.state_code import KernelKind, Numbers

HERE = cpu_vectors()
HALVES_HERE = HERE.lanes == 16 and bool(machine_code._features().get("avx512bf16"))


def kinds(multiplied: Numbers, *shapes: tuple[int, int]) -> list[KernelKind]:
    return [
        KernelKind(dim, lanes, stored, multiplied)
        for dim, lanes in shapes
        if lanes <= max(HERE.lanes, 8)
        for stored in (False, True)
    ]


PLAIN = kinds(Numbers.FLOATS, (32, 8), (64, 8), (24, 8), (32, 16), (64, 16), (48, 16))
LEVELS = kinds(Numbers.LEVELS, (32, 8), (64, 8), (48, 8), (32, 16), (64, 16), (96, 16))
HALVES = kinds(Numbers.HALVES, (32, 16), (64, 16), (96, 16))

_made: dict[KernelKind, AttentionKernel] = {}


def kernel_of(kind: KernelKind) -> AttentionKernel:
    if kind not in _made:
        _made[kind] = AttentionKernel(kind)
    return _made[kind]


def states_of(kind: KernelKind, tokens: int, heads: int = 3, size: float = 1.5) -> torch.Tensor:
    """Query, key and value of each token side by side, as one product gives them."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(tokens, 3, heads, kind.dim, generator=generator) * size
    return states.to(torch.bfloat16 if kind.stored_half else torch.float32)


def exact(states: torch.Tensor, lengths, attended, scaling: float) -> np.ndarray:
    query, key, value = states.double().numpy().transpose(1, 0, 2, 3)
    parts, start = [], 0
    for length, seen in zip(lengths, attended, strict=True):
        rows, keys = slice(start, start + length), slice(start, start + seen)
        scores = np.einsum("qhd,khd->hqk", query[rows], key[keys]) * scaling
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        parts.append(np.einsum("hqk,khd->qhd", weights, value[keys]))
        start += length
    return np.concatenate(parts)


def run(kernel: AttentionKernel, states, lengths, attended, scaling: float) -> np.ndarray:
    starts = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
    got = kernel(
        *states.unbind(1), starts=starts, lengths=lengths, attended=attended, scaling=scaling
    )
    assert got.dtype == states.dtype
    return got.double().numpy()


def off(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


def tolerance(kind: KernelKind) -> float:
    # A bfloat16 has 8 bits: half a step is 2 to the -9th.
    if kind.stored_half or kind.multiplied is Numbers.HALVES:
        return 8e-3
    return 6e-4 if kind.multiplied is Numbers.LEVELS else 2e-6


def step(kind: KernelKind) -> float:
    """How far apart levels of values are, relative to the greatest; as bfloat16 they are rounded.

    None for values that other kinds have exactly.
    """
    if kind.multiplied is not Numbers.LEVELS:
        return 0
    return 2**-8 if kind.stored_half else 1 / 4095
