"""The expectations are worked out in float64."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import gelu, layer_norm

pytest.importorskip("llvmlite", reason="needs the extra 'cpu'")

from rag_rerankers.engine import ending as ending_module
from rag_rerankers.engine import float_blocks as module
from rag_rerankers.engine import float_code
from rag_rerankers.engine.ending import Ending
from rag_rerankers.engine.float_blocks import FloatBlockLinear, FloatBlocks, float_blocks
from rag_rerankers.engine.float_product_code import STRETCH, FloatKind
from rag_rerankers.engine.int8_steps import Norm
from rag_rerankers.engine.linear import FloatLinear
from rag_rerankers.engine.machine_code import Vectors, cpu_vectors

HERE = cpu_vectors()

pytestmark = pytest.mark.skipif(not HERE.lanes, reason="needs an x86 CPU with AVX2")

HIDDEN, INNER = 64, STRETCH + 96
"""The wide states are more than one stretch."""
KINDS = [(lanes, halves) for lanes in (8, 16) if lanes <= HERE.lanes for halves in (False, True)]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]} lanes, halves {kind[1]}")
def blocks(request) -> FloatBlocks:
    lanes, halves = request.param
    return FloatBlocks(HIDDEN, INNER, lanes, halves=halves)


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_of(blocks: FloatBlocks, outs: int, ins: int, seed: int) -> FloatLinear:
    dtype = torch.bfloat16 if blocks.halves else torch.float32
    weight, bias = random(outs, ins, seed=seed) / ins**0.5, random(outs, seed=seed + 1)
    return FloatLinear(weight.to(dtype), bias.to(dtype))


def exact(plain: FloatLinear, states: torch.Tensor) -> torch.Tensor:
    return states.double() @ plain.weight.double().T + plain.bias.double()


@pytest.mark.parametrize("tokens", [1, 5, 6, 7, 12, 13, 95, 96, 97, 200])
@pytest.mark.parametrize(
    ("ins", "outs"), [(HIDDEN, HIDDEN), (HIDDEN, 3 * HIDDEN), (INNER, 32), (HIDDEN, INNER)]
)
def test_products(blocks, ins, outs, tokens):
    plain, states = plain_of(blocks, outs, ins, seed=tokens), random(tokens, ins, seed=3)
    got = blocks.linear(plain)(states)
    torch.testing.assert_close(got.double(), exact(plain, states), rtol=2e-6, atol=8e-6)
    assert torch.equal(states, random(tokens, ins, seed=3))


def test_a_linear_layer(blocks):
    plain = plain_of(blocks, 96, HIDDEN, seed=1)
    part, states = blocks.linear(plain), random(HIDDEN, 21, seed=2).T
    assert (part.in_features, part.out_features) == (HIDDEN, 96)
    torch.testing.assert_close(part(states).double(), exact(plain, states), rtol=2e-6, atol=8e-6)
    rounded = states.bfloat16()
    assert torch.equal(part(rounded), part(rounded.float()))
    out = torch.empty(21, 96)
    assert part(states, out=out) is out
    assert torch.equal(out, part(states))


def test_weights_are_copied_and_a_bias_may_be_missing(blocks):
    plain, states = plain_of(blocks, 32, HIDDEN, seed=1), random(5, HIDDEN, seed=2)
    part, without = blocks.linear(plain), blocks.linear(FloatLinear(plain.weight, None))
    expected = part(states)
    torch.testing.assert_close(without(states) + plain.bias.float(), expected)
    plain.weight.fill_(9)
    plain.bias.fill_(9)
    assert torch.equal(part(states), expected)


def test_weights_of_another_shape_or_dtype(blocks):
    for shape in ((HIDDEN, INNER + 4), (HIDDEN + 8, HIDDEN)):
        with pytest.raises(ValueError, match=rf"\({shape[0]}, {shape[1]}\)"):
            blocks.linear(FloatLinear(plain_of(blocks, *shape, seed=1).weight, None))
    with pytest.raises(ValueError, match="float16: no code"):
        blocks.linear(FloatLinear(torch.ones(HIDDEN, HIDDEN).half(), None))


def parts_of(blocks: FloatBlocks) -> tuple[list[FloatLinear], list[Norm]]:
    shapes = ((HIDDEN, HIDDEN), (INNER, HIDDEN), (HIDDEN, INNER))
    plain = [plain_of(blocks, *shape, seed=10 * n) for n, shape in enumerate(shapes)]
    norms = [
        Norm(random(HIDDEN, seed=s) + 2, random(HIDDEN, seed=s + 1), eps)
        for s, eps in ((40, 1e-3), (42, 1e-2))
    ]
    return plain, norms


def ending_of(blocks: FloatBlocks) -> Ending:
    plain, norms = parts_of(blocks)
    attended, widen, narrow = map(blocks.linear, plain)
    return Ending(attended, norms[0], widen, narrow, norms[1])


def finished(blocks: FloatBlocks, tokens: int) -> torch.Tensor:
    context, states = random(tokens, HIDDEN, seed=20), random(tokens, HIDDEN, seed=21)
    out = torch.empty(tokens, HIDDEN)
    blocks.finish(ending_of(blocks), context, states, out)
    assert torch.equal(context, random(tokens, HIDDEN, seed=20))
    assert torch.equal(states, random(tokens, HIDDEN, seed=21))
    return out


def by_hand(blocks: FloatBlocks, tokens: int) -> torch.Tensor:
    (attended, widen, narrow), norms = parts_of(blocks)
    states, context = random(tokens, HIDDEN, seed=21), random(tokens, HIDDEN, seed=20)

    def normed(given: torch.Tensor, norm: Norm) -> torch.Tensor:
        return layer_norm(given, (HIDDEN,), norm.weight.double(), norm.bias.double(), norm.eps)

    half = normed(exact(attended, context) + states.double(), norms[0])
    return normed(exact(narrow, gelu(exact(widen, half))) + half, norms[1])


@pytest.mark.parametrize("tokens", [1, 5, 12, 90, 96, 97, 200])
def test_the_end_of_a_layer(blocks, tokens):
    expected = by_hand(blocks, tokens)
    torch.testing.assert_close(finished(blocks, tokens).double(), expected, rtol=1e-5, atol=1e-5)


def test_gelu_far_from_zero_and_near_it(blocks):
    """All else is taken out: what is normed in the end are GELU's numbers and a known one."""
    if blocks.halves:
        pytest.skip("the numbers are not bfloat16")
    numbers = torch.cat([torch.linspace(-15, 15, 51), torch.linspace(-1e-3, 1e-3, 13)])
    nothing = torch.zeros(HIDDEN, HIDDEN)
    bias, first = torch.zeros(INNER), torch.zeros(HIDDEN, INNER)
    bias[:HIDDEN], first[:, :HIDDEN] = numbers, torch.eye(HIDDEN)
    out = torch.empty(1, HIDDEN)
    ending = Ending(
        blocks.linear(FloatLinear(nothing, None)),
        Norm(torch.zeros(HIDDEN), torch.zeros(HIDDEN), 1e-5),
        blocks.linear(FloatLinear(torch.zeros(INNER, HIDDEN), bias)),
        blocks.linear(FloatLinear(first, None)),
        Norm(torch.ones(HIDDEN), torch.zeros(HIDDEN), 1e-5),
    )
    blocks.finish(ending, torch.zeros(1, HIDDEN), torch.zeros(1, HIDDEN), out)
    expected = layer_norm(gelu(numbers.double()), (HIDDEN,))
    torch.testing.assert_close(out[0].double(), expected, rtol=1e-6, atol=5e-7)


def test_a_tokens_numbers_do_not_depend_on_its_neighbours(blocks):
    assert torch.equal(finished(blocks, 5), finished(blocks, 200)[:5])
    part, states = blocks.linear(plain_of(blocks, 96, HIDDEN, seed=1)), random(200, HIDDEN, seed=2)
    assert torch.equal(part(states)[190:], part(states[190:]))


def test_threads_change_nothing(blocks, monkeypatch):
    part, states = blocks.linear(plain_of(blocks, 96, HIDDEN, seed=1)), random(90, HIDDEN, seed=2)
    wanted = part(states), finished(blocks, 90)
    ranges: list[tuple[int, int]] = []
    divide = ending_module.divide

    def divided(work, tasks, cores):
        def noted(first, stop):
            ranges.append((first, stop))
            work(first, stop)

        divide(noted, tasks, cores)

    monkeypatch.setattr(ending_module, "divide", divided)
    monkeypatch.setattr(ending_module, "_ALONE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    got = part(states), finished(blocks, 90)
    assert sorted(ranges) == sorted([(0, 30), (30, 60), (60, 90)] * 2)
    assert all(torch.equal(one, other) for one, other in zip(wanted, got, strict=True))


def test_numbers_that_are_none_stay_in_their_row(blocks):
    context, states = random(40, HIDDEN, seed=20), random(40, HIDDEN, seed=21)
    wanted, out = finished(blocks, 40), torch.empty(40, HIDDEN)
    context[3, 5], states[39, 7] = float("nan"), float("nan")
    blocks.finish(ending_of(blocks), context, states, out)
    others = [row for row in range(40) if row not in (3, 39)]
    assert torch.equal(out[others], wanted[others])
    assert out[[3, 39]].isnan().all()


def test_no_rows(blocks):
    assert finished(blocks, 0).shape == (0, HIDDEN)
    part = blocks.linear(plain_of(blocks, 32, HIDDEN, seed=1))
    assert part(torch.empty(0, HIDDEN)).shape == (0, 32)


def test_nothing_is_written_beside_the_results(blocks, monkeypatch):
    """Scratch memory is in this too: it is made by ``torch.empty`` as the results are."""
    guards, empty = [], torch.empty

    def guarded(*shape, dtype=torch.float32):
        shape = shape[0] if isinstance(shape[0], tuple) else shape
        count = int(torch.tensor(shape).prod())
        whole = empty(count + 512, dtype=dtype)
        whole.view(torch.uint8).fill_(0xA5)
        guards.append((whole[:256], whole[256 + count :]))
        return whole[256 : 256 + count].view(*shape)

    part, given = blocks.linear(plain_of(blocks, 96, HIDDEN, seed=1)), ending_of(blocks)
    monkeypatch.setattr(torch, "empty", guarded)
    for tokens in (1, 13, 96, 100):
        blocks.multiply(part, random(tokens, HIDDEN, seed=2))
        out = torch.empty(tokens, HIDDEN)
        blocks.finish(given, *(random(tokens, HIDDEN, seed=s) for s in (20, 21)), out)
    assert len(guards) == 4 * 4
    for guard in (half for pair in guards for half in pair):
        assert (guard.view(torch.uint8) == 0xA5).all()


BESIDE = """
import ctypes, mmap
import torch
from rag_rerankers.engine.ending import Ending
from rag_rerankers.engine.float_blocks import FloatBlocks
from rag_rerankers.engine.int8_steps import Norm
from rag_rerankers.engine.linear import FloatLinear

def at_the_end(tokens, width):  # of memory; what is behind it must not be read
    used = -(-4 * tokens * width // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = mmap.mmap(-1, used + mmap.PAGESIZE)
    behind = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(pages)) + used)
    assert ctypes.CDLL(None).mprotect(behind, mmap.PAGESIZE, 0) == 0
    size = tokens * width
    flat = torch.frombuffer(pages, dtype=torch.float32, count=size, offset=used - 4 * size)
    return flat.view(tokens, width)

for lanes in {lanes}:
    blocks = FloatBlocks(64, 128, lanes, halves=False)
    attended, widen, narrow = (
        blocks.linear(FloatLinear(torch.ones(*shape), None))
        for shape in ((64, 64), (128, 64), (64, 128))
    )
    norm = Norm(torch.ones(64), torch.zeros(64), 1e-5)
    for tokens in (1, 13, 97):
        context, states, out = (at_the_end(tokens, 64) for _ in range(3))
        blocks.finish(Ending(attended, norm, widen, narrow, norm), context, states, out)
        blocks.multiply(widen, states, at_the_end(tokens, 128))
print("read nothing else")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="protects memory as Linux does")
def test_nothing_is_read_behind_the_states():
    """In a process of its own, which would end by a signal."""
    lanes = sorted({lanes for lanes, _ in KINDS})
    program = BESIDE.replace("{lanes}", str(lanes))
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "read nothing else\n"), ran.stderr


def test_scratch_memory_grows_no_further_than_a_block():
    hidden, inner = (FloatKind(width, 8, halves=False) for width in (HIDDEN, INNER))
    sizes = [float_code.finish_bytes(hidden, inner, rows) for rows in (1, 6, 7, 96, 97, 9999)]
    assert sizes[0] == sizes[1] < sizes[2] < sizes[3] == sizes[4] == sizes[5]
    assert float_code._ROWS % 12 == float_code._ROWS % 6 == 0


def test_weights_begin_with_a_cache_line_wherever_memory_does(blocks, monkeypatch):
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda count, dtype: empty(count + 8, dtype=dtype)[8:])
    weights = FloatBlockLinear(blocks, plain_of(blocks, INNER, HIDDEN, seed=1)).tensors["weights"]
    assert weights.numel() == INNER * HIDDEN
    assert weights.data_ptr() % 64 == 0


# --- where they cannot be ---


@pytest.fixture
def nothing_made(monkeypatch):
    monkeypatch.setattr(module, "_made", module.OncePerKey())


@pytest.mark.usefixtures("nothing_made")
def test_they_are_made_once_and_are_right():
    first = float_blocks(HIDDEN, INNER, torch.float32)
    assert first is not None
    assert float_blocks(HIDDEN, INNER, torch.float32) is first
    assert float_blocks(HIDDEN, HIDDEN, torch.float32) not in (None, first)


def test_wide_states_that_are_narrower():
    lanes, halves = KINDS[0]
    assert module._right(FloatBlocks(128, 64, lanes, halves=halves))


@pytest.mark.parametrize(
    ("vectors", "dtype", "hidden", "inner", "there"),
    [
        (Vectors(16), torch.float32, 64, 128, True),
        (Vectors(16, halves=True), torch.float32, 64, 128, True),
        (Vectors(16, tiles=True), torch.float32, 64, 128, True),
        (Vectors(8), torch.float32, 48, 80, True),
        (Vectors(8), torch.bfloat16, 48, 80, True),
        (Vectors(16), torch.bfloat16, 64, 128, True),
        (Vectors(16, halves=True), torch.bfloat16, 64, 128, False),
        (Vectors(16, tiles=True), torch.bfloat16, 64, 128, False),
        (Vectors(16), torch.float16, 64, 128, False),
        (Vectors(0), torch.float32, 64, 128, False),
        (Vectors(16), torch.float32, 48, 128, False),
        (Vectors(16), torch.float32, 64, 80, False),
    ],
)
@pytest.mark.usefixtures("nothing_made")
def test_where_they_are_there(vectors, dtype, hidden, inner, there, monkeypatch):
    monkeypatch.setattr(module, "cpu_vectors", lambda: vectors)
    monkeypatch.setattr(module, "_tried", lambda *asked: asked)
    asked = (hidden, inner, vectors.lanes, dtype == torch.bfloat16)
    assert float_blocks(hidden, inner, dtype) == (asked if there else None)


@pytest.mark.parametrize("name", ["multiply", "finish"])
def test_blocks_that_are_wrong_are_not_used(blocks, name, monkeypatch, caplog):
    right = getattr(FloatBlocks, name)

    def wrong(self, *given, **options):
        found = right(self, *given, **options)
        (given[3] if name == "finish" else found).mul_(1.0001)
        return found

    monkeypatch.setattr(module, "FloatBlocks", lambda *_, **__: blocks)
    assert module._tried(HIDDEN, INNER, 8, False) is blocks
    monkeypatch.setattr(FloatBlocks, name, wrong)
    with caplog.at_level(logging.WARNING):
        assert module._tried(HIDDEN, INNER, 8, False) is None
    assert "ours are wrong here" in caplog.text


@pytest.mark.usefixtures("nothing_made")
def test_an_llvm_that_cannot_is_no_error(monkeypatch, caplog):
    def refuse(*_):
        raise RuntimeError("unknown instruction")

    monkeypatch.setattr(module, "machine_code", refuse)
    with caplog.at_level(logging.WARNING):
        assert float_blocks(HIDDEN, INNER, torch.float32) is None
    assert "left to torch: unknown instruction" in caplog.text
