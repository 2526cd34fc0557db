from __future__ import annotations

import pytest
import torch
from torch.nn.functional import gelu, layer_norm

from rag_rerankers.engine import layer as module
from rag_rerankers.engine.float_blocks import float_blocks
from rag_rerankers.engine.int8_blocks import int8_blocks
from rag_rerankers.engine.int8_steps import Norm, int8_steps
from rag_rerankers.engine.layer import FloatBlockWork, Int8BlockWork, Int8Work, Layer, TorchWork
from rag_rerankers.engine.layer import blocks as blocks_of
from rag_rerankers.engine.linear import GELU_LOWEST, FloatLinear, Int8Linear
from rag_rerankers.engine.machine_code import cpu_vectors

WIDTH, WIDE, DIM = 32, 64, 16


@pytest.mark.parametrize(
    ("tokens", "blocks"),
    [
        (0, [0]),
        (1, [1]),
        (10, [10]),
        (11, [8, 3]),
        (16, [8, 8]),
        (21, [8, 8, 5]),
        (40, [12, 12, 12, 4]),
    ],
)
def test_tokens_are_multiplied_in_blocks_of_few_sizes(monkeypatch, tokens, blocks):
    monkeypatch.setattr(module, "_ROWS", 10)
    monkeypatch.setattr(module, "_STEP", 4)
    states = torch.arange(tokens)
    found = [states[rows] for rows in blocks_of(states)]
    assert [len(block) for block in found] == blocks
    assert torch.equal(torch.cat(found), states)


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer_of(kind, dtype: torch.dtype = torch.float32) -> Layer:
    norms = [
        Norm((random(WIDTH, seed=s) + 2).to(dtype), random(WIDTH, seed=s + 1).to(dtype), 1e-5)
        for s in (1, 3)
    ]

    def part(out: int, given: int, seed: int, lowest: float | None = None):
        return kind(random(out, given, seed=seed) / given**0.5, random(out, seed=seed + 1), lowest)

    return Layer(
        query=None,
        rest=part(3 * WIDTH, WIDTH, 5),
        attended=part(WIDTH, WIDTH, 7),
        attention_norm=norms[0],
        widen=part(WIDE, WIDTH, 9),
        activation=torch.ops.aten.gelu_,
        narrow=part(WIDTH, WIDE, 11, GELU_LOWEST),
        norm=norms[1],
    )


def by_hand(
    states: torch.Tensor, context: torch.Tensor, layer: Layer | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The product that begins a layer, and the layer's end, in float64."""
    layer = layer or layer_of(FloatLinear)

    def times(part: FloatLinear, given: torch.Tensor) -> torch.Tensor:
        return given @ part.weight.double().T + part.bias.double()

    def normed(norm: Norm, given: torch.Tensor) -> torch.Tensor:
        return layer_norm(given, (WIDTH,), norm.weight.double(), norm.bias.double(), norm.eps)

    states, context = states.double(), context.double()
    halfway = normed(layer.attention_norm, times(layer.attended, context) + states)
    wide = gelu(times(layer.widen, halfway))
    return times(layer.rest, states), normed(layer.norm, times(layer.narrow, wide) + halfway)


def off(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


def by_heads(states: torch.Tensor) -> torch.Tensor:
    return states.unflatten(1, (WIDTH // DIM, DIM))


@pytest.fixture(params=[768, 8], ids=["one block", "blocks"])
def rows(request, monkeypatch) -> int:
    monkeypatch.setattr(module, "_ROWS", request.param)
    monkeypatch.setattr(module, "_STEP", 2)
    return request.param


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("kind", "tolerance"), [(FloatLinear, 1e-6), (Int8Linear, 2e-2)], ids=["float", "int8"]
)
def test_a_layer_by_torch(kind, tolerance):
    states, context = random(21, WIDTH, seed=20), random(21, WIDTH, seed=21)
    layer, work = layer_of(kind), TorchWork()
    begun = work.begin(states)
    product, end = by_hand(states, context)
    assert off(work.multiply(layer.rest, begun, DIM).flatten(1), product) < tolerance
    finished = work.finish(layer, by_heads(context.clone()), begun)
    assert off(finished.numbers, end) < tolerance
    assert finished.rounded is None
    assert torch.equal(states, random(21, WIDTH, seed=20))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_float_layer_by_code_of_our_own(dtype):
    """Weights that are bfloat16, and norms of the same dtype, are still those numbers."""
    blocks = float_blocks(WIDTH, WIDE, dtype)
    if blocks is None:
        pytest.skip("needs the extra 'cpu', an x86 CPU with AVX2, and no faster bfloat16")

    def kind(weight, bias, lowest):
        return blocks.linear(FloatLinear(weight.to(dtype), bias.to(dtype)))

    def plain(weight, bias, lowest):
        return FloatLinear(weight.to(dtype).float(), bias.to(dtype).float())

    states, context = random(21, WIDTH, seed=20), random(21, WIDTH, seed=21)
    work, layer = FloatBlockWork(blocks), layer_of(kind, dtype)
    begun = work.begin(states)
    product, end = by_hand(states, context, layer_of(plain, dtype))
    assert off(work.multiply(layer.rest, begun, DIM).flatten(1), product) < 1e-6
    finished = work.finish(layer, by_heads(context), begun)
    assert off(finished.numbers, end) < 1e-6
    assert finished.rounded is None
    assert torch.equal(states, random(21, WIDTH, seed=20))
    apart = work.begin(states.T.contiguous().T.to(dtype)).numbers
    assert apart.is_contiguous()
    assert torch.equal(apart, states.to(dtype).float())


@pytest.fixture(params=[Int8Work, Int8BlockWork])
def int8(request) -> tuple[Int8Work | Int8BlockWork, Layer]:
    """A way to work, and a layer for it."""
    if request.param is Int8Work:
        steps = int8_steps(WIDTH, WIDE)
        if steps is None:
            pytest.skip("needs the extra 'cpu' and an x86 CPU with AVX2")
        return Int8Work(steps), layer_of(Int8Linear)
    blocks = int8_blocks(WIDTH, WIDE)
    if blocks is None:
        pytest.skip("needs the extra 'cpu' and an x86 CPU with AVX2, but not AMX")
    return Int8BlockWork(blocks), layer_of(blocks.linear)


@pytest.mark.usefixtures("rows")
def test_a_layer_by_code_of_our_own(int8):
    states, context = random(21, WIDTH, seed=20), random(21, WIDTH, seed=21)
    (work, layer), torch_layer, torch_work = int8, layer_of(Int8Linear), TorchWork()
    begun = work.begin(states)
    product, end = by_hand(states, context)
    multiplied = work.multiply(layer.rest, begun, DIM)
    assert multiplied.shape == (21, 3 * WIDTH // DIM, DIM)
    assert off(multiplied.flatten(1), product) < 2e-2
    torch.testing.assert_close(
        multiplied, torch_work.multiply(torch_layer.rest, torch_work.begin(states), DIM)
    )
    finished = work.finish(layer, by_heads(context), begun)
    # It is the same where a head's numbers of all tokens lie together.
    apart = by_heads(context).transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(work.finish(layer, apart, begun).numbers, finished.numbers)
    assert off(finished.numbers, end) < 2e-2
    by_torch = torch_work.finish(
        torch_layer, by_heads(context.clone()), torch_work.begin(states)
    ).numbers
    # Now and then a number lies between two levels, and rounding decides.
    assert off(finished.numbers, by_torch) < 2e-3
    # What goes to the next layer is what it would begin with.
    again = work.begin(finished.numbers)
    assert torch.equal(again.rounded.levels, finished.rounded.levels)
    assert torch.equal(again.rounded.scale, finished.rounded.scale)
    assert torch.equal(states, random(21, WIDTH, seed=20))


@pytest.mark.parametrize("dim", [4, 8, 16, 32])
def test_heads_lie_apart_where_they_are_whole_vectors(int8, dim):
    (work, layer), states = int8, random(21, WIDTH, seed=20)
    begun = work.begin(states)
    found = work.multiply(layer.rest, begun, dim)
    expected = work.multiply(layer.rest, begun, 3 * WIDTH).flatten(1)
    assert torch.equal(found.flatten(1), expected)
    apart = type(work) is Int8BlockWork and dim % cpu_vectors().lanes == 0
    assert found.stride() == ((dim, 21 * dim, 1) if apart else (3 * WIDTH, dim, 1))


def test_states_that_do_not_lie_together(int8):
    work, _ = int8
    states = random(WIDTH, 5, seed=22).T
    begun = work.begin(states)
    assert torch.equal(begun.numbers, states)
    assert torch.equal(begun.rounded.levels, work.begin(states.contiguous()).rounded.levels)


def test_no_tokens(int8):
    (work, layer), nothing = int8, torch.empty(0, WIDTH)
    begun = work.begin(nothing)
    assert work.multiply(layer.rest, begun, DIM).shape == (0, 3 * WIDTH // DIM, DIM)
    assert work.finish(layer, by_heads(nothing), begun).numbers.shape == (0, WIDTH)
