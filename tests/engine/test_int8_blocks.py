"""The expectations are worked out in float64, from weights that are whole numbers."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.nn.functional import gelu, layer_norm

pytest.importorskip("llvmlite", reason="needs the extra 'cpu'")

from rag_rerankers.engine import block_code, ending, machine_code
from rag_rerankers.engine import int8_blocks as module
from rag_rerankers.engine.block_code import piece_of
from rag_rerankers.engine.ending import Ending
from rag_rerankers.engine.int8_blocks import Int8BlockLinear, Int8Blocks, int8_blocks
from rag_rerankers.engine.int8_steps import Norm, Rounded
from rag_rerankers.engine.linear import GELU_LOWEST, Int8Linear, int8_levels
from rag_rerankers.engine.machine_code import Vectors, cpu_vectors
from rag_rerankers.engine.product_code import ProductKind

HERE = cpu_vectors()
HAS = machine_code._features() if HERE.lanes else {}

pytestmark = pytest.mark.skipif(not HERE.lanes, reason="needs an x86 CPU with AVX2")

HIDDEN, INNER = 64, 160
MOST = int8_levels()
KINDS = [
    (lanes, at_once)
    for lanes, vnni in ((8, "avxvnni"), (16, "avx512vnni"))
    for at_once in (False, True)
    if lanes <= HERE.lanes and (HAS.get(vnni) if at_once else True)
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]} lanes, VNNI {kind[1]}")
def kind(request) -> tuple[int, bool]:
    return request.param


@pytest.fixture(scope="module", params=[INNER, 3 * HIDDEN], ids=["one piece", "pieces"])
def made(request, kind) -> Int8Blocks:
    lanes, at_once = kind
    return Int8Blocks(HIDDEN, request.param, lanes, at_once=at_once)


@pytest.fixture
def blocks(made, monkeypatch) -> Int8Blocks:
    """With weights that products without VNNI can take, whatever the CPU has."""
    monkeypatch.setattr("rag_rerankers.engine.linear.int8_levels", lambda: 63)
    return made


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def whole(outs: int, ins: int, seed: int) -> torch.Tensor:
    """Weights of whole numbers up to 63, which every row reaches: rounding leaves them alone."""
    made = torch.Generator().manual_seed(seed)
    weight = torch.randint(-63, 64, (outs, ins), generator=made).float()
    weight[:, seed % ins] = 63
    weight[::2, (seed + 1) % ins] = -63
    return weight


def levels_of(tokens: int, width: int, seed: int) -> Rounded:
    made = torch.Generator().manual_seed(seed)
    rounded = Rounded.empty(tokens, width)
    rounded.levels.copy_(torch.randint(0, 256, (tokens, width), generator=made))
    rounded.scale.copy_(torch.rand(tokens, generator=made) + 0.1)
    return rounded


def exact(
    weight: torch.Tensor, bias: torch.Tensor, rounded: Rounded, lowest: float | None
) -> torch.Tensor:
    levels, scale = rounded.levels.double(), rounded.scale.double()[:, None]
    meant = (levels - 128) * scale if lowest is None else levels * scale + lowest
    return meant @ weight.double().T + bias.double()


@pytest.mark.parametrize("tokens", [1, 3, 4, 11, 12, 13, 35, 36, 37, 100])
@pytest.mark.parametrize("lowest", [None, GELU_LOWEST])
@pytest.mark.parametrize(("ins", "outs"), [(HIDDEN, HIDDEN), (HIDDEN, 3 * HIDDEN), (INNER, 32)])
def test_products(blocks, ins, outs, lowest, tokens):
    ins = blocks.inner if ins == INNER else ins
    weight, bias = whole(outs, ins, seed=tokens), random(outs, seed=1) * 50
    part = blocks.linear(weight, bias, lowest)
    rounded = levels_of(tokens, ins, seed=tokens)
    got = blocks.multiply(part, rounded)
    expected = exact(weight, bias, rounded, lowest)
    torch.testing.assert_close(got.double(), expected, rtol=2e-6, atol=2e-3)


def test_the_largest_numbers_do_not_overflow(blocks):
    for level, sign in ((255, 1), (255, -1), (0, 1)):
        weight = torch.full((32, blocks.inner), 63.0 * sign)
        rounded = Rounded.empty(5, blocks.inner)
        rounded.levels.fill_(level)
        rounded.scale.fill_(1.0)
        got = blocks.multiply(blocks.linear(weight, None), rounded)
        assert torch.equal(got, torch.full((5, 32), (level - 128) * 63.0 * sign * blocks.inner))


def test_a_linear_layer_is_as_onednns(blocks):
    for lowest in (None, GELU_LOWEST):
        weight, bias = random(96, HIDDEN, seed=2), random(96, seed=3)
        states = random(21, HIDDEN, seed=4).clamp_min(-0.16 if lowest else -9)
        ours, theirs = blocks.linear(weight, bias, lowest), Int8Linear(weight, bias, lowest)
        torch.testing.assert_close(ours(states), theirs(states))
        torch.testing.assert_close(ours(states.bfloat16()), theirs(states.bfloat16()))
        assert torch.equal(states, random(21, HIDDEN, seed=4).clamp_min(-0.16 if lowest else -9))
        out = torch.empty(21, 96)
        assert ours(states, out=out) is out
        assert torch.equal(out, ours(states))
        assert ours.out_features == 96


def test_a_product_into_memory_that_is_there(blocks):
    part, rounded = blocks.linear(random(32, HIDDEN, seed=5), None), levels_of(7, HIDDEN, seed=6)
    out = torch.empty(7, 32)
    assert blocks.multiply(part, rounded, out) is out
    assert torch.equal(out, blocks.multiply(part, rounded))


def test_weights_of_another_shape(blocks):
    for shape in ((HIDDEN, blocks.inner + 4), (HIDDEN + 8, HIDDEN)):
        with pytest.raises(ValueError, match=rf"\({shape[0]}, {shape[1]}\)"):
            blocks.linear(torch.ones(*shape), None)


def ending_of(blocks: Int8Blocks, *, uneven: bool = False) -> tuple[Ending, list[torch.Tensor]]:
    """A layer's end; if uneven, only the first wide states count, and others are far greater."""
    weights = [
        whole(HIDDEN, HIDDEN, seed=10) / 500,
        whole(blocks.inner, HIDDEN, seed=11) / 500,
        whole(HIDDEN, blocks.inner, seed=12) / 500,
    ]
    if uneven:
        weights[1][HIDDEN:] *= 300
        weights[2][:, HIDDEN:] = 0
    parts = [
        blocks.linear(weight, random(len(weight), seed=13 + number), lowest)
        for number, (weight, lowest) in enumerate(
            zip(weights, (None, None, GELU_LOWEST), strict=True)
        )
    ]
    norms = [Norm(random(HIDDEN, seed=s) + 2, random(HIDDEN, seed=s + 1), 1e-3) for s in (16, 18)]
    return Ending(parts[0], norms[0], parts[1], parts[2], norms[1]), weights


def finished(
    blocks: Int8Blocks, tokens: int, *, uneven: bool = False
) -> tuple[torch.Tensor, Rounded]:
    given, _ = ending_of(blocks, uneven=uneven)
    context, states = random(tokens, HIDDEN, seed=20), random(tokens, HIDDEN, seed=21)
    out, into = torch.empty(tokens, HIDDEN), Rounded.empty(tokens, HIDDEN)
    blocks.finish(given, context, states, out, into)
    assert torch.equal(context, random(tokens, HIDDEN, seed=20))
    assert torch.equal(states, random(tokens, HIDDEN, seed=21))
    return out, into


def by_hand(blocks: Int8Blocks, tokens: int, *, uneven: bool = False) -> torch.Tensor:
    """With states rounded nowhere."""
    _, weights = ending_of(blocks, uneven=uneven)
    attended, widen, narrow = (weight.double() for weight in weights)
    biases = [random(len(weight), seed=13 + n).double() for n, weight in enumerate(weights)]
    states, context = random(tokens, HIDDEN, seed=21), random(tokens, HIDDEN, seed=20)

    def normed(given: torch.Tensor, seed: int) -> torch.Tensor:
        weight, bias = random(HIDDEN, seed=seed) + 2, random(HIDDEN, seed=seed + 1)
        return layer_norm(given, (HIDDEN,), weight.double(), bias.double(), 1e-3)

    half = normed(context.double() @ attended.T + biases[0] + states.double(), 16)
    wide = gelu(half @ widen.T + biases[1])
    return normed(wide @ narrow.T + biases[2] + half, 18)


@pytest.mark.parametrize("tokens", [1, 5, 36, 37, 90])
def test_the_end_of_a_layer(blocks, tokens):
    out, into = finished(blocks, tokens)
    expected = by_hand(blocks, tokens)
    assert float((out - expected).norm() / expected.norm()) < 2e-2
    # What goes to the next layer is what it would begin with.
    again = blocks.round(out)
    assert torch.equal(into.levels, again.levels)
    assert torch.equal(into.scale, again.scale)


@pytest.mark.parametrize("tokens", [1, 37])
def test_each_piece_of_wide_states_has_a_scale_of_its_own(blocks, tokens):
    out, _ = finished(blocks, tokens, uneven=True)
    expected = by_hand(blocks, tokens, uneven=True)
    error = float((out - expected).norm() / expected.norm())
    assert error < 2e-2 if piece_of(HIDDEN, blocks.inner) == HIDDEN else error > 2e-2


def test_pieces_are_as_wide_as_other_states_where_that_divides_wide_ones():
    assert [piece_of(64, inner) for inner in (64, 160, 192, 256)] == [64, 160, 64, 64]


def test_wide_states_that_are_no_wider(monkeypatch):
    monkeypatch.setattr("rag_rerankers.engine.linear.int8_levels", lambda: 63)
    lanes, at_once = KINDS[0]
    assert module._right(Int8Blocks(HIDDEN, HIDDEN, lanes, at_once=at_once))


def test_a_tokens_numbers_do_not_depend_on_its_neighbours(blocks):
    alone, together = finished(blocks, 5), finished(blocks, 90)
    assert torch.equal(alone[0], together[0][:5])
    assert torch.equal(alone[1].levels, together[1].levels[:5])
    assert torch.equal(alone[1].scale, together[1].scale[:5])


def test_threads_change_nothing(blocks, monkeypatch):
    part, rounded = blocks.linear(random(96, HIDDEN, seed=5), None), levels_of(90, HIDDEN, seed=6)
    wanted = (
        blocks.multiply(part, rounded),
        *finished(blocks, 90),
        blocks.round(random(90, 64, seed=7)),
    )
    ranges: list[tuple[int, int]] = []
    divide = ending.divide

    def divided(work, tasks, cores):
        def noted(first, stop):
            ranges.append((first, stop))
            work(first, stop)

        divide(noted, tasks, cores)

    monkeypatch.setattr(ending, "divide", divided)
    monkeypatch.setattr(ending, "_ALONE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    got = (
        blocks.multiply(part, rounded),
        *finished(blocks, 90),
        blocks.round(random(90, 64, seed=7)),
    )
    assert sorted(ranges) == sorted([(0, 30), (30, 60), (60, 90)] * 3)
    for one, other in zip(wanted, got, strict=True):
        if isinstance(one, Rounded):
            assert torch.equal(one.levels, other.levels)
            assert torch.equal(one.scale, other.scale)
        else:
            assert torch.equal(one, other)


def test_numbers_that_are_none_stay_in_their_row(blocks):
    given, _ = ending_of(blocks)
    context, states = random(40, HIDDEN, seed=20), random(40, HIDDEN, seed=21)
    wanted, _ = finished(blocks, 40)
    context[3, 5], states[38, 7] = float("nan"), float("nan")
    out, into = torch.empty(40, HIDDEN), Rounded.empty(40, HIDDEN)
    blocks.finish(given, context, states, out, into)
    others = [row for row in range(40) if row not in (3, 38)]
    assert torch.equal(out[others], wanted[others])
    assert out[[3, 38]].isnan().all()
    assert into.scale[[3, 38]].isnan().all()


def test_no_rows(blocks):
    assert finished(blocks, 0)[0].shape == (0, HIDDEN)
    part = blocks.linear(random(32, HIDDEN, seed=5), None)
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

    part = blocks.linear(random(96, HIDDEN, seed=5), None)
    monkeypatch.setattr(torch, "empty", guarded)
    for tokens in (1, 37, 40):
        blocks.multiply(part, levels_of(tokens, HIDDEN, seed=6))
        finished(blocks, tokens)
    assert len(guards) >= 18
    for guard in (half for pair in guards for half in pair):
        assert (guard.view(torch.uint8) == 0xA5).all()


def test_scratch_memory_is_for_the_largest_block():
    assert block_code._ROWS % 12 == block_code._ROWS % 6 == block_code._ROWS % 4 == 0
    assert block_code.multiply_bytes(32) >= 4 * block_code._ROWS * 32 + 63


# --- where they cannot be ---


@pytest.fixture
def nothing_made(monkeypatch):
    monkeypatch.setattr(module, "_made", module.OncePerKey())


@pytest.mark.usefixtures("nothing_made")
def test_they_are_made_once_and_are_right():
    if HERE.tiles or (MOST > 63 and not HERE.bytes):
        pytest.skip("oneDNN multiplies faster here, or differently")
    first = int8_blocks(HIDDEN, INNER)
    assert first is not None
    assert int8_blocks(HIDDEN, INNER) is first
    assert int8_blocks(HIDDEN, 2 * INNER) not in (None, first)


@pytest.mark.parametrize(
    ("vectors", "levels", "hidden", "inner", "there"),
    [
        (Vectors(16, bytes=True), 127, 64, 128, True),
        (Vectors(8, bytes=True), 127, 48, 80, True),
        (Vectors(8), 63, 48, 80, True),
        (Vectors(8), 127, 48, 80, False),
        (Vectors(16, bytes=True, tiles=True), 127, 64, 128, False),
        (Vectors(0), 127, 64, 128, False),
        (Vectors(16, bytes=True), 127, 48, 128, False),
        (Vectors(16, bytes=True), 127, 64, 80, False),
        (Vectors(16, bytes=True), 127, 128, 64, False),
    ],
)
@pytest.mark.usefixtures("nothing_made")
def test_where_they_are_there(vectors, levels, hidden, inner, there, monkeypatch):
    monkeypatch.setattr(module, "cpu_vectors", lambda: vectors)
    monkeypatch.setattr(module, "int8_levels", lambda: levels)
    monkeypatch.setattr(module, "_tried", lambda *asked: asked)
    asked = (hidden, inner, vectors.lanes, vectors.bytes)
    assert int8_blocks(hidden, inner) == (asked if there else None)


@pytest.mark.parametrize("name", ["multiply", "finish"])
def test_blocks_that_are_wrong_are_not_used(blocks, name, monkeypatch, caplog):
    right = getattr(Int8Blocks, name)

    def wrong(self, *given, **options):
        found = right(self, *given, **options)
        (given[3] if name == "finish" else found).mul_(1.02)
        return found

    monkeypatch.setattr(module, "Int8Blocks", lambda *_, **__: blocks)
    assert module._tried(HIDDEN, INNER, 8, True) is blocks
    monkeypatch.setattr(Int8Blocks, name, wrong)
    with caplog.at_level(logging.WARNING):
        assert module._tried(HIDDEN, INNER, 8, True) is None
    assert "ours are wrong here" in caplog.text


def test_levels_that_are_wrong_are_noticed(blocks, monkeypatch):
    right = Int8Blocks.finish

    def wrong(self, *given):
        right(self, *given)
        given[4].scale.mul_(1.02)

    monkeypatch.setattr(Int8Blocks, "finish", wrong)
    assert not module._right(blocks)


@pytest.mark.usefixtures("nothing_made")
def test_an_llvm_that_cannot_is_no_error(monkeypatch, caplog):
    def refuse(*_):
        raise RuntimeError("unknown instruction")

    monkeypatch.setattr(module, "machine_code", refuse)
    monkeypatch.setattr(module, "cpu_vectors", lambda: Vectors(8, bytes=True))
    with caplog.at_level(logging.WARNING):
        assert int8_blocks(HIDDEN, INNER) is None
    assert "left to oneDNN: unknown instruction" in caplog.text


def test_levels_have_the_rows_behind_them_that_a_product_may_read():
    most = max(ProductKind(INNER, lanes, at_once).rows for lanes, at_once in KINDS)
    levels = Rounded.empty(1, INNER).levels
    assert levels.untyped_storage().nbytes() >= most * INNER


def test_weights_begin_with_a_cache_line_wherever_memory_does(blocks, monkeypatch):
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda count, dtype: empty(count + 8, dtype=dtype)[8:])
    weight = random(INNER, HIDDEN, seed=1)
    panels = Int8BlockLinear(blocks, weight, None).tensors["weights"]
    assert panels.numel() == weight.numel()
    assert panels.data_ptr() % 64 == 0
