"""Attention over many sequences that lie end to end in one row, without padding.

transformers lets anyone register an attention function and have a model use it by name. Ours
gets the layout of the row as a keyword and lets every token see the tokens of its own sequence
only, so no token is wasted on padding and the results are those of the padded model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from rag_rerankers.engine.attention_kernel import kernel_for

__all__ = ["PACKED_ATTENTION", "PackedLayout", "attend", "packed_attention", "to_device"]

PACKED_ATTENTION = "rag_rerankers_packed"


@dataclass(frozen=True, slots=True, eq=False)
class PackedLayout:
    """Where the sequences lie in the row.

    Attributes:
        lengths: Tokens of each sequence, in row order.
        attended: For each sequence, how many of its first tokens may be looked at.
        starts: Shape (n + 1,), int32, on the model's device: where each sequence starts.
    """

    lengths: tuple[int, ...]
    attended: tuple[int, ...]
    starts: torch.Tensor

    @classmethod
    def of(
        cls, lengths: Sequence[int], attended: Sequence[int], device: torch.device
    ) -> PackedLayout:
        """Lay out sequences of these lengths end to end."""
        starts = torch.zeros(len(lengths) + 1, dtype=torch.int32)
        starts[1:] = torch.tensor(lengths, dtype=torch.int32).cumsum(0)
        return cls(tuple(lengths), tuple(attended), to_device(starts, device))


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to the model's device; to a GPU without waiting for what it still computes."""
    if device.type != "cuda":
        return tensor.to(device)
    # Only from page-locked memory is such a copy asynchronous.
    return tensor.pin_memory().to(device, non_blocking=True)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    packed_layout: PackedLayout,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Bidirectional attention within each sequence of a packed row.

    Args:
        module: The calling attention module; not used.
        query: Shape (1, heads, tokens, dim).
        key: Shape as ``query``, perhaps with fewer heads.
        value: Shape as ``key``.
        attention_mask: Not used: the layout says who sees whom.
        packed_layout: Where the sequences lie.
        scaling: Factor on the products; None for ``1 / sqrt(dim)``.
        sliding_window: A token sees only tokens at a distance below this.

    Returns:
        Shape (1, tokens, heads, dim), and None in place of the weights.
    """
    rows = (states[0].transpose(0, 1) for states in (query, key, value))
    return attend(*rows, layout=packed_layout, scaling=scaling, window=sliding_window)[None], None


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    layout: PackedLayout,
    scaling: float | None = None,
    window: int | None = None,
    firsts: bool = False,
    halves: bool = False,
) -> torch.Tensor:
    """Attention within each sequence.

    Args:
        query: Shape (tokens, heads, dim).
        key: Shape as ``query``, perhaps with fewer heads.
        value: Shape as ``key``.
        layout: Where the sequences lie.
        scaling: Factor on the products; None for ``1 / sqrt(dim)``.
        window: A token sees only tokens at a distance below this.
        firsts: ``query`` holds the first token of each sequence only, shape (n, heads, dim).
        halves: Whether states in float32 may be rounded to 16 bits, where that is faster.

    Returns:
        Shape as ``query``.
    """
    whole = layout.lengths == layout.attended
    if query.is_cuda and whole and query.dtype in (torch.float16, torch.bfloat16):
        return _fused(query, key, value, layout, scaling, window, firsts=firsts)
    near = window is not None and max(layout.lengths) > window
    plain = not near and not firsts and min(layout.attended) > 0
    kernel = kernel_for(query, key, value, halves=halves) if plain else None
    if kernel is not None:
        return kernel(
            query,
            key,
            value,
            starts=layout.starts,
            attended=layout.attended,
            lengths=layout.lengths,
            scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
        )
    out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    start = asked = 0
    # Batches are sorted by length: neighbours of equal length share one call.
    for (length, attended), group in groupby(zip(layout.lengths, layout.attended, strict=True)):
        count = sum(1 for _ in group)
        rows = slice(start, start + length * count)
        asking = slice(asked, asked + count) if firsts else rows
        q, k, v = (
            states.unflatten(0, (count, -1)).transpose(1, 2)
            for states in (query[asking], key[rows], value[rows])
        )
        mask = None
        if window is not None and length > window:
            at = torch.arange(length, device=query.device)
            mask = ((at[:, None] - at[None, :]).abs() < window)[:, :attended]
        part = scaled_dot_product_attention(
            q,
            k[:, :, :attended],
            v[:, :, :attended],
            attn_mask=mask,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
        out[asking] = part.transpose(1, 2).flatten(0, 1)
        start, asked = rows.stop, asked + count
    return out


def _fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: PackedLayout,
    scaling: float | None,
    window: int | None,
    *,
    firsts: bool,
) -> torch.Tensor:
    # One kernel for all sequences; public in torch since 2.10.
    from torch.nn.attention.varlen import varlen_attn

    longest = max(layout.lengths)
    reach = -1 if window is None else window - 1
    asked = torch.arange(len(query) + 1, dtype=torch.int32, device=query.device)
    out = varlen_attn(
        query,
        key,
        value,
        asked if firsts else layout.starts,
        layout.starts,
        1 if firsts else longest,
        longest,
        scale=scaling,
        window_size=(reach, reach),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    assert isinstance(out, torch.Tensor)
    return out


def _no_mask(*_: Any, **__: Any) -> None:
    """The layout takes the place of the mask."""


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, _no_mask)
