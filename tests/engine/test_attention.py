from __future__ import annotations

import numpy as np
import pytest
import torch

from rag_rerankers.engine.attention import PACKED_ATTENTION, PackedLayout, packed_attention

CPU = torch.device("cpu")


def expected_attention(q, k, v, lengths, attended, scale, window):
    """Softmax attention token by token, in float64: who may look at whom, spelled out."""
    heads, tokens, dim = q.shape
    groups = heads // k.shape[0]
    out = np.zeros((tokens, heads, dim))
    start = 0
    for length, seen in zip(lengths, attended, strict=True):
        for head in range(heads):
            for i in range(start, start + length):
                keys = [
                    j for j in range(start, start + seen) if window is None or abs(i - j) < window
                ]
                products = np.array([q[head, i] @ k[head // groups, j] for j in keys]) * scale
                weights = np.exp(products - products.max())
                weights /= weights.sum()
                out[i, head] = sum(
                    w * v[head // groups, j] for w, j in zip(weights, keys, strict=True)
                )
        start += length
    return out


def states(heads: int, tokens: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, heads, tokens, 8, generator=generator)


@pytest.mark.parametrize(
    ("lengths", "attended"),
    [
        ((5,), (5,)),
        ((7, 4, 4, 1), (7, 4, 4, 1)),
        ((4, 4, 4), (4, 4, 4)),
        ((3, 9, 3), (3, 9, 3)),
        ((9, 5, 5), (4, 5, 5)),
        ((6, 6, 6), (2, 6, 2)),
        ((8,), (3,)),
    ],
    ids=str,
)
@pytest.mark.parametrize(("heads", "key_heads"), [(2, 2), (4, 2)], ids=["all heads", "grouped"])
@pytest.mark.parametrize("scaling", [None, 0.2])
def test_every_token_sees_the_attended_tokens_of_its_own_sequence(
    lengths, attended, heads, key_heads, scaling
):
    tokens = sum(lengths)
    q, k, v = states(heads, tokens, 0), states(key_heads, tokens, 1), states(key_heads, tokens, 2)
    got, weights = packed_attention(
        torch.nn.Identity(), q, k, v, None,
        packed_layout=PackedLayout.of(lengths, attended, CPU), scaling=scaling,
    )  # fmt: skip
    scale = 8**-0.5 if scaling is None else scaling
    arrays = (x[0].double().numpy() for x in (q, k, v))
    expected = expected_attention(*arrays, lengths, attended, scale, None)
    assert weights is None
    assert got.shape == (1, tokens, heads, 8)
    np.testing.assert_allclose(got[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("window", [1, 3, 5, 50])
@pytest.mark.parametrize("lengths", [(12, 4, 4, 2), (7, 7)], ids=str)
def test_a_sliding_window_hides_what_is_far(window, lengths):
    tokens = sum(lengths)
    q, k, v = (states(2, tokens, seed) for seed in range(3))
    got, _ = packed_attention(
        torch.nn.Identity(), q, k, v, None,
        packed_layout=PackedLayout.of(lengths, lengths, CPU), sliding_window=window,
    )  # fmt: skip
    arrays = (x[0].double().numpy() for x in (q, k, v))
    expected = expected_attention(*arrays, lengths, lengths, 8**-0.5, window)
    np.testing.assert_allclose(got[0].numpy(), expected, atol=1e-5)


def test_a_layout_knows_where_every_sequence_starts():
    layout = PackedLayout.of([3, 1, 4], [3, 1, 2], CPU)
    assert layout.starts.tolist() == [0, 3, 4, 8]
    assert layout.starts.dtype == torch.int32
    assert layout.lengths == (3, 1, 4)
    assert layout.attended == (3, 1, 2)


def test_transformers_knows_the_packed_attention_by_name():
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    assert AttentionInterface()[PACKED_ATTENTION] is packed_attention
    assert AttentionMaskInterface()[PACKED_ATTENTION](1, 2, mask=3) is None
