"""The expectations are worked out in float64."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu, layer_norm

pytest.importorskip("llvmlite", reason="needs the extra 'cpu'")

from rag_rerankers.engine import int8_steps as module
from rag_rerankers.engine import machine_code
from rag_rerankers.engine.int8_steps import Int8Steps, Norm, Rounded, int8_steps
from rag_rerankers.engine.linear import GELU_LOWEST, Int8Linear
from rag_rerankers.engine.machine_code import Vectors, cpu_vectors

pytestmark = pytest.mark.skipif(not cpu_vectors().lanes, reason="needs an x86 CPU with AVX2")

WIDTH = 48


@pytest.fixture(scope="module", params=[8, 16])
def steps(request) -> Int8Steps:
    return Int8Steps(request.param)


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def part_of(seed: int, out: int = WIDTH, lowest: float | None = None) -> Int8Linear:
    return Int8Linear(random(out, WIDTH, seed=seed), random(out, seed=seed + 1), lowest)


def meaning(rounded: Rounded, lowest: float | None = None) -> torch.Tensor:
    levels, scale = rounded.levels.double(), rounded.scale.double()[:, None]
    return (levels - 128) * scale if lowest is None else levels * scale + lowest


def exact(part: Int8Linear, rounded: Rounded, zero: int = 128) -> torch.Tensor:
    """What the layer gives for these levels: its own levels of weights, in float64."""
    rows = []
    for column in range(WIDTH):
        one = torch.full((1, WIDTH), zero, dtype=torch.uint8)
        one[0, column] += 1
        rows.append(part.product(one)[0].double())
    weights = torch.stack(rows)
    levels = rounded.levels.double() - zero
    return levels @ weights * rounded.scale.double()[:, None] + part.bias.double()


def test_rounding_to_levels(steps):
    states = random(7, WIDTH, seed=1) * torch.logspace(-6, 6, 7)[:, None]
    rounded = steps.round(states)
    scale = states.double().abs().amax(1) / 127
    torch.testing.assert_close(rounded.scale.double(), scale, rtol=1e-6, atol=0)
    levels = rounded.levels.double() - 128
    assert levels.abs().amax(1).eq(127).all()
    assert (levels - states.double() / scale[:, None]).abs().max() < 0.501
    assert rounded.levels.min() >= 1


def test_a_row_of_zeros_stays_one(steps):
    rounded = steps.round(torch.zeros(2, WIDTH))
    assert (rounded.levels == 128).all()
    assert (rounded.scale > 0).all()


def test_a_product(steps):
    part, rounded = part_of(2, out=64), steps.round(random(5, WIDTH, seed=3))
    expected = exact(part, rounded)
    for out in (None, torch.empty(5, 64)):
        got = steps.multiply(part, rounded, out)
        assert out is None or got is out
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


def test_gelu(steps):
    part, rounded = part_of(4, out=64), steps.round(random(5, WIDTH, seed=5))
    expected = gelu(exact(part, rounded))
    wide = steps.gelu(part, rounded)
    scale = (expected.amax(1) - GELU_LOWEST) / 255
    torch.testing.assert_close(wide.scale.double(), scale, rtol=1e-5, atol=0)
    assert wide.levels.amax(1).eq(255).all()
    difference = (meaning(wide, GELU_LOWEST) - expected).abs()
    assert (difference <= 0.502 * scale[:, None]).all()


def test_gelu_of_every_size(steps):
    """A bias alone, so that each output is a number of our choice; the others are all -10.

    The smallest step between two levels is .17 / 255, twelve times what is allowed here.
    """
    numbers = torch.cat([torch.linspace(-9, 9, 577), torch.tensor([-1e3, 4.2, 4.22, 4.24, 1e3])])
    found = []
    rounded = steps.round(torch.ones(1, WIDTH))
    for number in numbers.split(1):
        bias = torch.full((WIDTH,), -10.0)
        bias[7] = number
        wide = steps.gelu(Int8Linear(torch.zeros(WIDTH, WIDTH), bias), rounded)
        # The greatest has the level 255, so that the scale tells what it was.
        found.append(float(wide.scale.double()) * 255 + GELU_LOWEST)
    nothing = gelu(torch.tensor(-10.0, dtype=torch.float64))
    expected = torch.maximum(gelu(numbers.double()), nothing)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=5.5e-5)


@pytest.mark.parametrize("lowest", [None, GELU_LOWEST])
def test_norm(steps, lowest):
    part = part_of(6, lowest=lowest)
    states = random(5, WIDTH, seed=8)
    if lowest is None:
        rounded = steps.round(states)
        product = exact(part, rounded)
    else:
        rounded = steps.gelu(part_of(9), steps.round(states))
        product = exact(part, rounded, zero=0)
    residual = random(5, WIDTH, seed=10)
    norm = Norm(random(WIDTH, seed=11), random(WIDTH, seed=12), 1e-3)
    out, into = torch.empty(5, WIDTH), Rounded.empty(5, WIDTH)
    steps.norm(part, rounded, residual, norm, out, into)
    expected = layer_norm(
        product + residual.double(), (WIDTH,), norm.weight.double(), norm.bias.double(), 1e-3
    )
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    again = steps.round(out)
    assert torch.equal(into.levels, again.levels)
    assert torch.equal(into.scale, again.scale)


def test_the_epsilon_of_a_norm_counts(steps):
    part = Int8Linear(torch.zeros(WIDTH, WIDTH), None)
    residual = torch.arange(float(WIDTH)).repeat(2, 1) * 1e-3
    norm = Norm(torch.ones(WIDTH), torch.zeros(WIDTH), 1.0)
    out, into = torch.empty(2, WIDTH), Rounded.empty(2, WIDTH)
    steps.norm(part, steps.round(residual), residual, norm, out, into)
    expected = layer_norm(residual.double(), (WIDTH,), eps=1.0)
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-7)


def test_states_may_be_written_over_the_residual(steps):
    part, rounded = part_of(13), steps.round(random(3, WIDTH, seed=14))
    norm = Norm(random(WIDTH, seed=15), random(WIDTH, seed=16), 1e-5)
    residual = random(3, WIDTH, seed=17)
    apart, into = torch.empty(3, WIDTH), Rounded.empty(3, WIDTH)
    steps.norm(part, rounded, residual, norm, apart, into)
    steps.norm(part, rounded, residual, norm, residual, into)
    assert torch.equal(residual, apart)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_number_that_is_none_makes_its_row_none_and_no_other(steps, bad):
    states = random(4, WIDTH, seed=18)
    states[1, 5] = bad
    part = part_of(19)
    rounded = steps.round(states)
    found = [steps.multiply(part, rounded), meaning(steps.gelu(part, rounded), GELU_LOWEST)]
    out, into = torch.empty(4, WIDTH), Rounded.empty(4, WIDTH)
    norm = Norm(torch.ones(WIDTH), torch.ones(WIDTH), 1e-5)
    steps.norm(part, rounded, random(4, WIDTH, seed=20), norm, out, into)
    clean = steps.round(random(4, WIDTH, seed=21))
    again, into_again = torch.empty(4, WIDTH), Rounded.empty(4, WIDTH)
    steps.norm(part, clean, states, norm, again, into_again)
    for numbers in (*found, out, meaning(into), again, meaning(into_again)):
        assert numbers[1].isnan().all()
        assert numbers[[0, 2, 3]].isfinite().all()


@pytest.mark.parametrize("cores", [2, 5])
def test_many_cores_give_what_one_gives(steps, cores, monkeypatch):
    part, norm = part_of(22), Norm(torch.ones(WIDTH), torch.ones(WIDTH), 1e-5)
    states, residual = random(9, WIDTH, seed=24), random(9, WIDTH, seed=25)

    def run() -> list[torch.Tensor]:
        rounded = steps.round(states)
        wide = steps.gelu(part, rounded)
        out, into = torch.empty(9, WIDTH), Rounded.empty(9, WIDTH)
        steps.norm(part, rounded, residual, norm, out, into)
        parts = (rounded, wide, into)
        tensors = [tensor for one in parts for tensor in (one.levels, one.scale)]
        return [*tensors, steps.multiply(part, rounded), out]

    alone = run()
    started, thread = [], threading.Thread
    monkeypatch.setattr(module, "_ALONE", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    monkeypatch.setattr(
        machine_code.threading, "Thread", lambda **given: started.append(1) or thread(**given)
    )
    assert all(torch.equal(one, other) for one, other in zip(alone, run(), strict=True))
    assert len(started) == 4 * (cores - 1)


def test_nothing_is_written_beside_a_tensor(steps, monkeypatch):
    guards, empty = [], torch.empty

    def guarded(*shape, dtype=torch.float32):
        count = int(np.prod(shape))
        whole = empty(count + 256, dtype=dtype)
        whole.view(torch.uint8).fill_(0xA5)
        guards.append((whole[:128], whole[128 + count :]))
        return whole[128 : 128 + count].view(*shape)

    monkeypatch.setattr(torch, "empty", guarded)
    part, rounded = part_of(26), steps.round(random(3, WIDTH, seed=27))
    steps.gelu(part, rounded)
    steps.multiply(part, rounded, torch.empty(3, WIDTH))
    norm = Norm(torch.ones(WIDTH), torch.ones(WIDTH), 1e-5)
    into = Rounded.empty(3, WIDTH)
    steps.norm(part, rounded, random(3, WIDTH, seed=28), norm, torch.empty(3, WIDTH), into)
    assert len(guards) >= 8
    for guard in (half for pair in guards for half in pair):
        assert (guard.view(torch.uint8) == 0xA5).all()


# --- where they cannot be ---


@pytest.fixture
def nothing_made(monkeypatch):
    monkeypatch.setattr(module, "_made", module.OncePerKey())


def test_they_are_made_once():
    first = int8_steps(32, 64)
    assert first is not None
    assert int8_steps(16) is first


def test_widths_that_are_no_whole_vectors():
    assert int8_steps(32, 44) is None


def test_no_vectors_no_steps(monkeypatch):
    monkeypatch.setattr(module, "cpu_vectors", lambda: Vectors(0))
    assert int8_steps(32) is None


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize("name", ["round", "multiply", "gelu", "norm"])
def test_steps_that_are_wrong_are_not_used(name, monkeypatch, caplog):
    right = getattr(Int8Steps, name)

    def wrong(self, *given, **options):
        found = right(self, *given, **options)
        if name == "norm":
            given[4].mul_(1.01)
        elif name == "multiply":
            found.mul_(1.01)
        else:
            found.scale.mul_(1.05)
        return found

    monkeypatch.setattr(Int8Steps, name, wrong)
    with caplog.at_level(logging.WARNING):
        assert int8_steps(32) is None
    assert "ours are wrong here" in caplog.text


@pytest.mark.usefixtures("nothing_made")
def test_a_system_that_forbids_machine_code(monkeypatch, caplog):
    def forbidden(*_):
        raise RuntimeError("cannot allocate executable memory")

    monkeypatch.setattr(module, "machine_code", forbidden)
    with caplog.at_level(logging.WARNING):
        assert int8_steps(32) is None
        assert int8_steps(32) is None
    assert caplog.text.count("cannot allocate executable memory") == 1
