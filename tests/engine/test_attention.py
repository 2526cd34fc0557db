from __future__ import annotations

import numpy as np
import pytest
import torch

from rag_rerankers.engine import attention
from rag_rerankers.engine.attention import PACKED_ATTENTION, PackedLayout, attend, packed_attention

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


# --- products in bfloat16 on a CPU ---


def rows(heads: int, tokens: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(tokens, heads, dim, generator=torch.Generator().manual_seed(seed))


def no_kernel(*_: object, **__: object) -> None:
    raise AssertionError("the fused kernel was called")


@pytest.mark.parametrize("block", [1 << 19, 3 * 70 * 70, 2500], ids=["whole", "parts", "single"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("lengths", "attended"),
    [((70,), (70,)), ((66, 64, 64, 64), (66, 64, 64, 64)), ((70, 65, 65), (64, 65, 40))],
    ids=str,
)
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_half_attention_is_attention(monkeypatch, block, dtype, lengths, attended, scaling):
    monkeypatch.setattr(attention, "scaled_dot_product_attention", no_kernel)
    monkeypatch.setattr(attention, "_BLOCK", block)
    monkeypatch.setattr(attention, "_LEAST", 1)
    # Neither keys nor values lie together, as they come out of one product.
    joined = torch.stack([rows(4, sum(lengths), 64, seed) for seed in range(3)], 1).to(dtype)
    q, k, v = joined.unbind(1)
    layout = PackedLayout.of(lengths, attended, CPU)
    got = attend(q, k, v, layout=layout, scaling=scaling, half=True)
    wanted = expected_attention(
        *(part.transpose(0, 1).double().numpy() for part in (q, k, v)),
        lengths,
        attended,
        64**-0.5 if scaling is None else scaling,
        None,
    )
    assert got.dtype == dtype
    assert got.shape == q.shape
    # Scores up to 20 in 8 bits move weights by a few per cent; values are around 1.
    error = np.abs(got.double().numpy() - wanted)
    assert error.max() < 0.12
    assert error.mean() < 0.006


def test_half_attention_does_not_overflow():
    q = k = torch.full((64, 1, 64), 30.0)
    v = rows(1, 64, 64, 0)
    got = attend(q, k, v, layout=PackedLayout.of([64], [64], CPU), half=True)
    torch.testing.assert_close(got, v.mean(0, keepdim=True).expand(64, -1, -1), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("short", {}),
        ("long", {}),
        ("grouped", {}),
        ("window", {"window": 20}),
        ("firsts", {"firsts": True}),
    ],
)
def test_what_half_precision_does_not_pay_for_stays_exact(monkeypatch, case, options):
    length = {"short": 60, "long": 100}.get(case, 80)
    if case == "long":
        monkeypatch.setattr(attention, "_BLOCK", 4999)
    q, k, v = (rows(4, 2 * length, 64, seed) for seed in range(3))
    if case == "grouped":
        k, v = k[:, :2], v[:, :2]
    if case == "firsts":
        q = q[::length]
    layout = PackedLayout.of([length] * 2, [length] * 2, CPU)
    exact = attend(q, k, v, layout=layout, **options)
    assert torch.equal(attend(q, k, v, layout=layout, half=True, **options), exact)


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
