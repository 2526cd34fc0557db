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

__all__ = ["PACKED_ATTENTION", "PackedLayout", "packed_attention"]

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
        return cls(tuple(lengths), tuple(attended), starts.to(device, non_blocking=True))


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
    whole = packed_layout.lengths == packed_layout.attended
    if query.is_cuda and whole and query.dtype in (torch.float16, torch.bfloat16):
        return _fused(query, key, value, packed_layout, scaling, sliding_window), None
    parts = []
    start = 0
    pairs = zip(packed_layout.lengths, packed_layout.attended, strict=True)
    # Batches are sorted by length: neighbours of equal length share one call.
    for (length, attended), group in groupby(pairs):
        count = sum(1 for _ in group)
        q, k, v = (
            states[0, :, start : start + count * length]
            .unflatten(1, (count, length))
            .transpose(0, 1)
            for states in (query, key, value)
        )
        near = None
        if sliding_window is not None and length > sliding_window:
            at = torch.arange(length, device=query.device)
            near = ((at[:, None] - at[None, :]).abs() < sliding_window)[:, :attended]
        part = scaled_dot_product_attention(
            q,
            k[:, :, :attended],
            v[:, :, :attended],
            attn_mask=near,
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )
        parts.append(part.transpose(1, 2).flatten(0, 1))
        start += count * length
    return torch.cat(parts)[None], None


def _fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: PackedLayout,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    # One kernel for all sequences; public in torch since 2.10.
    from torch.nn.attention.varlen import varlen_attn

    longest = max(layout.lengths)
    reach = -1 if sliding_window is None else sliding_window - 1
    out = varlen_attn(
        query[0].transpose(0, 1).contiguous(),
        key[0].transpose(0, 1).contiguous(),
        value[0].transpose(0, 1).contiguous(),
        layout.starts,
        layout.starts,
        longest,
        longest,
        scale=scaling,
        window_size=(reach, reach),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    assert isinstance(out, torch.Tensor)
    return out[None]


def _no_mask(*_: Any, **__: Any) -> None:
    """The layout takes the place of the mask."""


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
AttentionMaskInterface.register(PACKED_ATTENTION, _no_mask)
