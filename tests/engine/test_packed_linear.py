"""Float products with weights laid out for the CPU, and where they pay."""

from __future__ import annotations

import pytest
import torch

from rag_rerankers.engine import linear
from rag_rerankers.engine.linear import FloatLinear, PackedLinear, packing_pays


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 on this CPU"
)


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bfloat16)], ids=str
)
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("tokens", [1, 7, 130])
def test_packed_products_equal_plain_ones(dtype, biased, tokens):
    weight, bias = random(48, 96, seed=31).to(dtype), random(48, seed=32).to(dtype)
    plain = FloatLinear(weight, bias if biased else None)
    states = random(tokens, 96, seed=33).to(dtype)
    with torch.inference_mode():
        got = PackedLinear(plain)(states)
    exact = states.double() @ weight.double().T + (bias.double() if biased else 0)
    assert got.dtype == dtype
    close = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.1, "rtol": 0.01}
    torch.testing.assert_close(got.double(), exact, **close)


def test_packed_products_keep_nothing_of_the_plain_ones():
    weight, bias = random(32, 64, seed=34), random(32, seed=35)
    states = random(5, 64, seed=36)
    with torch.inference_mode():
        packed = PackedLinear(FloatLinear(weight, bias))
        before = packed(states)
        weight.zero_()
        bias.zero_()
        assert torch.equal(packed(states), before)


@pytest.mark.parametrize(
    ("capability", "dtype", "pays"),
    [
        ("AVX512", torch.float32, True),
        ("AVX2", torch.float32, False),
        ("DEFAULT", torch.float32, False),
        ("AVX512", torch.float16, False),
    ],
)
def test_weights_are_laid_out_where_it_pays(monkeypatch, capability, dtype, pays):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert packing_pays.__wrapped__(dtype) is pays


@pytest.mark.parametrize("native", [pytest.param(True, marks=needs_bfloat16), False])
def test_bfloat16_weights_are_laid_out_where_the_cpu_multiplies_them(monkeypatch, native):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(linear, "cpu_has_bfloat16", lambda: native)
    assert packing_pays.__wrapped__(torch.bfloat16) is native


def test_a_torch_whose_packed_products_are_missing_or_wrong_goes_without(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")

    class Missing:
        def __init__(self, plain) -> None:
            raise AttributeError("no such operator")

    class Wrong(PackedLinear):
        def __call__(self, states, *, spend=False):
            return super().__call__(states) + 1

    for broken in (Missing, Wrong):
        monkeypatch.setattr(linear, "PackedLinear", broken)
        assert packing_pays.__wrapped__(torch.float32) is False
