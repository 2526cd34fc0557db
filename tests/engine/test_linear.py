"""Int8 products, against their formula written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu

from rag_rerankers.engine import linear
from rag_rerankers.engine.device import choose_dtype
from rag_rerankers.engine.linear import (
    FloatLinear,
    Int8Linear,
    Int8Module,
    PackedLinear,
    int8_is_there,
    int8_levels,
    quantize_modules,
)

pytestmark = pytest.mark.skipif(not int8_is_there(), reason="torch has no int8 products here")
LEVELS = int8_levels()
LOWEST = -0.17


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rounded_weight(weight: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers, and one scale for each output."""
    exact = weight.numpy()
    scale = np.abs(exact).max(axis=1) / np.float32(LEVELS)
    return np.rint(exact / scale[:, None]).astype(np.float64), scale.astype(np.float64)


def transcription(weight, bias, states, lowest=None) -> np.ndarray:
    """The formula of the docstring. Scales are float32, as whoever rounds with them has them."""
    whole, scales = rounded_weight(weight)
    rows = []
    for row in states.numpy():
        if lowest is None:
            scale = np.float32(np.abs(row).max()) / np.float32(127)
            read = np.rint(row * (np.float32(1) / scale)).astype(np.float64) * scale
        else:
            scale = (row.max() - np.float32(lowest)) / np.float32(255)
            levels = np.rint((row.astype(np.float64) - lowest) / scale)
            assert levels.min() >= 0
            assert levels.max() <= 255
            read = levels * scale + lowest
        rows.append(scales * (whole @ read) + bias.numpy())
    return np.array(rows)


# --- the formula ---


def test_a_product_worked_by_hand():
    """Scales are 1 / LEVELS, 2 / LEVELS and 1 / 127: then all numbers are whole."""
    v = [[LEVELS, 10, -3, 0], [-LEVELS, LEVELS, 1, 20]]
    q = [[127, 2, -1, 5], [-127, 1, 0, 0]]
    weight = torch.tensor(v, dtype=torch.float32) / LEVELS * torch.tensor([[1.0], [2.0]])
    states = torch.tensor(q, dtype=torch.float32) / 127
    found = Int8Linear(weight, torch.tensor([0.5, -1.0]))(states)
    # rows of q times rows of v
    products = [
        [127 * LEVELS + 20 + 3, -127 * LEVELS + 2 * LEVELS - 1 + 100],
        [-127 * LEVELS + 10, 127 * LEVELS + LEVELS],
    ]
    wanted = [[a / LEVELS / 127 + 0.5, b * 2 / LEVELS / 127 - 1.0] for a, b in products]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-6, rtol=1e-6)
    assert found.dtype == torch.float32


@pytest.mark.parametrize(("n_in", "n_out"), [(32, 48), (384, 1152), (17, 5)])
def test_products_equal_the_formula(n_in, n_out):
    weight, bias = random(n_out, n_in, seed=1), random(n_out, seed=2)
    states = random(50, n_in, seed=3) * torch.logspace(-3, 3, 50)[:, None]
    found = Int8Linear(weight, bias)(states)
    expected = transcription(weight, bias, states)
    # a few numbers lie so close to a half that float32 rounds them to the other side
    wrong = np.abs(found.numpy() - expected) > 1e-4 + 1e-5 * np.abs(expected).max(axis=1)[:, None]
    assert wrong.any(axis=1).sum() <= 1


@pytest.mark.parametrize("width", [16, 1536])
def test_one_sided_products_equal_the_formula(width):
    weight, bias = random(40, width, seed=4), random(40, seed=5)
    states = gelu(random(60, width, seed=6) * 3)
    found = Int8Linear(weight, bias, LOWEST)(states)
    expected = transcription(weight, bias, states, LOWEST)
    step = (states.amax(dim=1) - LOWEST).numpy()[:, None] / 255
    # where float32 and float64 round one activation differently, the result moves by its weight
    assert np.abs(found.numpy() - expected).max() <= (step * weight.abs().max().item() * 2).max()
    close = np.abs(found.numpy() - expected) <= 1e-3
    assert close.all(axis=1).mean() > 0.8


def test_one_sided_levels_are_finer_for_what_gelu_gives():
    weight = (random(64, 256, seed=7) * 20).round().clamp(-LEVELS, LEVELS)
    weight[:, 0] = LEVELS  # whole numbers: only the activations are rounded
    states = gelu(random(100, 256, seed=8))
    exact = states.double() @ weight.double().T
    one_sided = (Int8Linear(weight, None, LOWEST)(states) - exact).norm()
    two_sided = (Int8Linear(weight, None)(states) - exact).norm()
    assert one_sided < 0.65 * two_sided, "about half: twice as many levels"


def test_no_bias_is_a_bias_of_zero():
    weight, states = random(20, 32), random(3, 32, seed=1)
    assert torch.equal(
        Int8Linear(weight, None)(states), Int8Linear(weight, torch.zeros(20))(states)
    )


@pytest.mark.parametrize("lowest", [None, LOWEST])
@pytest.mark.parametrize("n_in", [64, 1024, 4096])
def test_the_largest_numbers_do_not_overflow(n_in, lowest):
    """Pairs of them add up in 16 bits on some CPUs: 2 * 255 * 127 does not fit."""
    weight = torch.ones(32, n_in)
    weight[1::2] = -1
    states = torch.full((6, n_in), 127.0)
    states[1::2] = -127 if lowest is None else 0.0
    expected = states.double() @ weight.double().T
    found = Int8Linear(weight, torch.zeros(32), lowest)(states)
    # 0 is not one of the 256 levels between -0.17 and 127: off by half a step at most
    step = 0.0 if lowest is None else 127.17 / 255 / 2 * n_in
    assert (found - expected).abs().max() <= 1e-5 * 127 * n_in + step
    largest = states[:, 0] > 0
    assert (found - expected)[largest].abs().max() <= 1e-5 * 127 * n_in


@pytest.mark.parametrize("lowest", [None, LOWEST])
def test_the_error_is_that_of_rounding(lowest):
    """Half a step for every weight and activation, the other one's size times, at most."""
    weight, states = random(48, 96, seed=9), random(40, 96, seed=10)
    if lowest is not None:
        states = gelu(states)
    exact = states.double() @ weight.double().T
    top = states.abs().amax(1) / 127 if lowest is None else (states.amax(1) - lowest) / 255
    half_x = top[:, None] / 2 * weight.abs().sum(1)
    half_w = weight.abs().amax(1) / LEVELS / 2 * states.abs().sum(1)[:, None]
    both = top[:, None] / 2 * weight.abs().amax(1) / LEVELS / 2 * 96
    error = (Int8Linear(weight, None, lowest)(states) - exact).abs()
    assert (error <= (half_x + half_w + both) * 1.01).all()
    assert error.norm() / exact.norm() < (0.01 if LEVELS == 127 else 0.02)


# --- one row does not know of the others ---


@pytest.mark.parametrize("lowest", [None, LOWEST])
def test_a_row_is_the_same_to_the_last_bit_in_any_company(lowest):
    made = Int8Linear(random(192, 384, seed=11), random(192, seed=12), lowest)
    states = random(37, 384, seed=13) * torch.logspace(-2, 2, 37)[:, None]
    if lowest is not None:
        states = gelu(states)
    together = made(states)
    assert torch.equal(together, torch.cat([made(row[None]) for row in states]))
    assert torch.equal(together.flip(0), made(states.flip(0)))
    assert torch.equal(together, torch.cat([made(part) for part in states.split([1, 30, 6])]))


@pytest.mark.parametrize("lowest", [None, LOWEST])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_a_number_stays_so_and_in_its_row(lowest, bad):
    made = Int8Linear(random(64, 128, seed=14), None, lowest)
    states = gelu(random(9, 128, seed=15))
    expected = made(states)
    spoilt = states.clone()
    spoilt[4, 17] = bad
    found = made(spoilt)
    if not (lowest is not None and bad == -torch.inf):  # which GELU never gives
        assert not found[4].isfinite().any()
    rest = torch.arange(9) != 4
    assert torch.equal(found[rest], expected[rest])


@pytest.mark.parametrize("lowest", [None, 0.0])
def test_a_row_of_zeros_is_the_bias(lowest):
    bias = random(32, seed=16)
    states = random(4, 64, seed=17).abs()
    states[2] = 0
    found = Int8Linear(random(32, 64, seed=18), bias, lowest)(states)
    assert torch.equal(found[2], bias)


@pytest.mark.parametrize("size", [1e30, 1e10, 1e-10, 1e-15])
def test_neither_large_nor_small_numbers_lose_their_digits(size):
    weight, states = random(32, 64, seed=19), random(5, 64, seed=20)
    exact = states.double() @ weight.double().T
    found = Int8Linear(weight, None)(states * size).double() / size
    assert (found - exact).norm() / exact.norm() < 0.02


def test_numbers_next_to_nothing_are_nothing():
    weight, bias = random(32, 64, seed=21), random(32, seed=22)
    assert torch.equal(Int8Linear(weight, bias)(torch.full((2, 64), 1e-38)), bias.expand(2, -1))


def test_an_output_without_weights_is_its_bias():
    weight, bias = random(32, 64, seed=23), random(32, seed=24)
    weight[5] = 0
    assert torch.equal(Int8Linear(weight, bias)(random(3, 64))[:, 5], bias[5].expand(3))


def test_the_float_product_is_that_of_torch():
    layer = torch.nn.Linear(24, 40)
    states = random(7, 24)
    found = FloatLinear(layer.weight, layer.bias, LOWEST)(states)
    torch.testing.assert_close(found, layer(states))


# --- modules ---


class Body(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.GELU(),
                                         torch.nn.Linear(64, 32, bias=False))  # fmt: skip
        self.narrow_out = torch.nn.Linear(32, 15)
        self.narrow_in = torch.nn.Linear(15, 32)
        self.wide_enough = torch.nn.Linear(16, 16)
        self.pooler = torch.nn.Sequential(torch.nn.Linear(32, 32))
        self.norm = torch.nn.LayerNorm(32)


def test_layers_are_replaced_but_not_poolers_and_narrow_ones():
    body = Body().requires_grad_(False)
    kept = [body.narrow_out, body.narrow_in, body.pooler[0], body.norm, body.layer[1]]
    states = random(2, 5, 32)
    expected = body.layer(states)
    quantize_modules(body)
    assert [type(body.layer[0]), type(body.layer[2]), type(body.wide_enough)] == [Int8Module] * 3
    assert kept == [body.narrow_out, body.narrow_in, body.pooler[0], body.norm, body.layer[1]]
    found = body.layer(states)
    assert found.shape == (2, 5, 32)
    assert 0 < (found - expected).norm() / expected.norm() < 0.03


def test_a_replaced_layer_has_no_weights_in_float_but_says_its_dtype():
    layer = torch.nn.Linear(32, 64).requires_grad_(False)
    made = Int8Module(layer)
    assert sum(parameter.numel() for parameter in made.parameters()) == 0
    assert (made.in_features, made.out_features) == (32, 64)
    assert (made.weight.dtype, made.weight.device.type) == (torch.float32, "cpu")
    assert "weight" not in made.state_dict()
    wanted = Int8Linear(layer.weight, layer.bias)(random(6, 32))
    assert torch.equal(made(random(6, 32).view(2, 3, 32)), wanted.view(2, 3, 64))


# --- what the machine can do ---


@pytest.fixture
def asked_again():
    """What was found out about the machine is forgotten before and after."""
    for known in (int8_levels, int8_is_there):
        known.cache_clear()
    yield
    for known in (int8_levels, int8_is_there):
        known.cache_clear()


@pytest.mark.parametrize(("exact", "levels"), [({127, 63}, 127), ({63}, 63)])
@pytest.mark.usefixtures("asked_again")
def test_weights_have_as_many_levels_as_the_cpu_multiplies_rightly(monkeypatch, exact, levels):
    monkeypatch.setattr(linear, "_exact", lambda level: level in exact)
    assert int8_is_there()
    assert int8_levels() == levels
    largest = []
    plain = torch.ops.onednn.qlinear_prepack

    def prepack(weight, shape):
        largest.append(weight.abs().max().item())
        return plain(weight, shape)

    monkeypatch.setattr(torch.ops.onednn, "qlinear_prepack", prepack)
    Int8Linear(random(16, 16), None)
    assert largest == [levels]


@pytest.mark.usefixtures("asked_again")
def test_overflow_is_found_by_trying(monkeypatch):
    def overflowing(levels, *rest):
        """As vpmaddubsw does it: pairs of products, cut to 16 bits."""
        weight = rest[2]
        products = levels.int()[:, None, :] * weight.int()[None]
        pairs = products.unflatten(2, (-1, 2)).sum(3).clamp(-(2**15), 2**15 - 1)
        return (pairs.sum(2) - rest[1] * weight.int().sum(1)).float()

    monkeypatch.setattr(torch.ops.onednn, "qlinear_prepack", lambda weight, shape: weight)
    monkeypatch.setattr(torch.ops.onednn, "qlinear_pointwise", overflowing)
    assert int8_levels() == 63
    assert int8_is_there()


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, NotImplementedError])
@pytest.mark.usefixtures("asked_again")
def test_a_torch_without_such_products_is_told_apart(monkeypatch, error):
    def missing(level):
        raise error("no engine")

    monkeypatch.setattr(linear, "_exact", missing)
    assert not int8_is_there()
    with pytest.raises(ValueError, match="dtype 'int8' needs oneDNN") as caught:
        choose_dtype("int8", torch.device("cpu"))
    assert "use 'float32' or 'bfloat16'" in str(caught.value)


@pytest.mark.usefixtures("asked_again")
def test_a_machine_that_multiplies_wrongly_has_no_int8(monkeypatch):
    monkeypatch.setattr(linear, "_exact", lambda level: False)
    assert not int8_is_there()


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_int8_is_refused_off_the_cpu(name):
    with pytest.raises(ValueError, match=f"'int8' is for the CPU, not for {name}") as caught:
        choose_dtype("int8", torch.device(name))
    assert "device='cpu'" in str(caught.value)
    assert choose_dtype("int8", torch.device("cpu")) == torch.int8


@pytest.mark.parametrize("lowest", [None, -0.17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_are_written_over_only_where_they_may_be(lowest, dtype):
    made = torch.Generator().manual_seed(0)
    layer = Int8Linear(torch.randn(32, 64, generator=made), torch.zeros(32), lowest)
    states = torch.rand(7, 64, generator=made).to(dtype)
    before = states.clone()
    kept = layer(states)
    assert torch.equal(states, before)
    assert torch.equal(layer(states, spend=True), kept)
    assert torch.equal(states, before) == (dtype != torch.float32), "there is room in float32 only"


@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("kind", ["float", "packed", "int8"])
def test_a_product_goes_where_it_is_told_to(kind, biased):
    weight, bias = random(48, 96, seed=41), random(48, seed=42) if biased else None
    states = random(5, 96, seed=43)
    with torch.inference_mode():
        plain = FloatLinear(weight, bias)
        part = {
            "float": lambda: plain,
            "packed": lambda: PackedLinear(plain),
            "int8": lambda: Int8Linear(weight, bias),
        }[kind]()
        whole = torch.full((9, 64), 7.0)
        part(states, out=whole[2:7, :48])
        torch.testing.assert_close(whole[2:7, :48], part(states), atol=1e-5, rtol=1e-5)
        assert part.out_features == 48
        whole[2:7, :48] = 7.0
    assert torch.equal(whole, torch.full((9, 64), 7.0)), "and nowhere else"
