"""The expectations are softmax attention spelled out in float64."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest
import torch

pytest.importorskip("llvmlite", reason="needs the extra 'cpu'")

from tests.engine.softmax import (
    HALVES,
    HALVES_HERE,
    HERE,
    LEVELS,
    PLAIN,
    exact,
    kernel_of,
    off,
    run,
    states_of,
    step,
    tolerance,
)

from rag_rerankers.engine import attention_kernel as module
from rag_rerankers.engine import machine_code
from rag_rerankers.engine.attention import PackedLayout, attend
from rag_rerankers.engine.attention_code import scratch_bytes
from rag_rerankers.engine.attention_kernel import AttentionKernel, kernel_for
from rag_rerankers.engine.machine_code import Vectors
from rag_rerankers.engine.state_code import KernelKind, Numbers

CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(not HERE.lanes, reason="needs an x86 CPU with AVX2")

halves_only = pytest.mark.skipif(not HALVES_HERE, reason="needs AVX512-BF16")
KINDS = [pytest.param(kind, id=str(kind)) for kind in PLAIN + LEVELS] + [
    pytest.param(kind, id=str(kind), marks=halves_only) for kind in HALVES
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("lengths", "attended"),
    [
        ((1,), (1,)),
        ((6,), (6,)),
        ((7, 1, 2), (7, 1, 2)),
        ((15, 16, 17), (15, 16, 17)),
        ((31, 32, 33), (31, 32, 33)),
        ((50, 20), (47, 1)),
        ((200, 3), (200, 3)),
    ],
    ids=str,
)
def test_it_is_softmax_attention(kind, lengths, attended):
    states = states_of(kind, sum(lengths))
    got = run(kernel_of(kind), states, lengths, attended, 0.2)
    expected = exact(states, lengths, attended, 0.2)
    assert off(got, expected) < tolerance(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_sequence(kind):
    states = states_of(kind, 1500, heads=1, size=1.0)
    got = run(kernel_of(kind), states, (1500,), (1500,), kind.dim**-0.5)
    expected = exact(states, (1500,), (1500,), kind.dim**-0.5)
    assert off(got, expected) < tolerance(kind) * 1.5


@pytest.mark.parametrize("kind", KINDS)
def test_scores_far_apart_neither_overflow_nor_vanish(kind):
    """One key takes all the weight; which one is not a matter of rounding."""
    states = torch.zeros(40, 3, 2, kind.dim)
    states[:, 2] = torch.arange(40.0)[:, None, None]
    states[:, 0] = 100.0
    states[:, 1] = -100.0
    states[21, 1] = 100.0
    states = states.to(states_of(kind, 1).dtype)
    got = run(kernel_of(kind), states, (40,), (40,), 1.0)
    np.testing.assert_allclose(got, 21.0, atol=39 * step(kind), rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_scores_give_the_mean(kind):
    states = torch.zeros(10, 3, 1, kind.dim)
    states[:, 2] = torch.arange(10.0)[:, None, None]
    states = states.to(states_of(kind, 1).dtype)
    got = run(kernel_of(kind), states, (10,), (7,), 1.0)
    np.testing.assert_allclose(got, 3.0, rtol=1e-6, atol=9 * step(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_attended_does_not_matter(kind):
    states = states_of(kind, 45)
    got = run(kernel_of(kind), states, (45,), (33,), 0.3)
    states[33:, 1:] = float("nan")
    again = run(kernel_of(kind), states, (45,), (33,), 0.3)
    np.testing.assert_array_equal(got, again)


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_that_is_none_is_seen_by_its_own_sequence_alone(kind):
    states = states_of(kind, 60)
    states[25, :] = float("nan")
    got = run(kernel_of(kind), states, (20, 20, 20), (20, 20, 20), 0.3)
    assert np.isnan(got[20:40]).all()
    assert np.isfinite(got[:20]).all()
    assert np.isfinite(got[40:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_s_result_does_not_depend_on_its_neighbours(kind):
    states = states_of(kind, 70)
    together = run(kernel_of(kind), states, (30, 13, 27), (30, 13, 27), 0.3)
    alone = run(kernel_of(kind), states[30:43], (13,), (13,), 0.3)
    np.testing.assert_array_equal(together[30:43], alone)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cores", [2, 5])
def test_many_cores_give_what_one_gives(kind, cores, monkeypatch):
    states, lengths = states_of(kind, 66), (40, 1, 25)
    alone = run(kernel_of(kind), states, lengths, lengths, 0.3)
    monkeypatch.setattr(module, "_ALONE", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    started = []
    monkeypatch.setattr(
        machine_code.threading, "Thread", lambda **given: started.append(1) or Thread(**given)
    )
    np.testing.assert_array_equal(run(kernel_of(kind), states, lengths, lengths, 0.3), alone)
    assert len(started) == cores - 1


Thread = threading.Thread


def test_a_small_call_starts_no_thread(monkeypatch):
    monkeypatch.setattr(machine_code.threading, "Thread", None)
    states = states_of(PLAIN[0], 50)
    run(kernel_of(PLAIN[0]), states, (50,), (50,), 0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_beside_the_output_or_the_scratch_memory(kind, monkeypatch):
    """Both lie between guards, and memory that is read first holds garbage."""
    kernel = kernel_of(kind)
    guards = []
    empty = torch.empty

    def guarded(shape, *, dtype):
        count = int(np.prod(shape))
        whole = empty(count + 256, dtype=dtype)
        whole.view(torch.uint8).fill_(0xA5)
        guards.append((whole[:128], whole[128 + count :]))
        return whole[128 : 128 + count].view(shape)

    def guarded_like(states):
        return guarded(states.shape, dtype=states.dtype)

    monkeypatch.setattr(torch, "empty", guarded)
    monkeypatch.setattr(torch, "empty_like", guarded_like)
    lengths = (37, 5)
    states = states_of(kind, 42)
    got = run(kernel, states, lengths, lengths, 0.3)
    assert off(got, exact(states, lengths, lengths, 0.3)) < tolerance(kind)
    assert len(guards) == 2
    for guard in (half for pair in guards for half in pair):
        assert (guard.view(torch.uint8) == 0xA5).all()


@pytest.mark.parametrize("kind", KINDS)
def test_heads_may_lie_apart(kind):
    """All that is read for a head lies together then, and so do its results."""
    states, lengths = states_of(kind, 47), (30, 17)
    expected = run(kernel_of(kind), states, lengths, lengths, 0.3)
    apart = states.transpose(0, 2).contiguous().transpose(0, 2)
    np.testing.assert_array_equal(run(kernel_of(kind), apart, lengths, lengths, 0.3), expected)
    query, value = (states[:, i].transpose(0, 1).contiguous().transpose(0, 1) for i in (0, 2))
    starts = torch.tensor([0, *lengths]).cumsum(0, dtype=torch.int32)
    options = {"starts": starts, "lengths": lengths, "attended": lengths, "scaling": 0.3}
    got = kernel_of(kind)(query, states[:, 1], value, **options)
    np.testing.assert_array_equal(got.double().numpy(), expected)
    assert got.stride() == query.stride() == (kind.dim, 47 * kind.dim, 1)


def test_the_scratch_memory_of_a_long_sequence_is_a_few_times_its_keys():
    kind = KernelKind(64, 16, stored_half=False, multiplied=Numbers.HALVES)
    keys = 8192 * 64 * 2
    assert 2 * keys < scratch_bytes(kind, 8192) < 4 * keys


# --- which states have a kernel ---


def three(dtype=torch.float32, heads: int = 2, dim: int = 32) -> list[torch.Tensor]:
    return [torch.ones(5, heads, dim, dtype=dtype) for _ in range(3)]


def test_states_of_a_cpu_have_one():
    for dtype in (torch.float32, torch.bfloat16):
        assert kernel_for(*three(dtype), halves=False) is not None
    assert kernel_for(*(part.transpose(0, 1) for part in three()), halves=False) is not None
    whole = torch.ones(5, 3, 2, 32)
    assert kernel_for(*whole.unbind(1), halves=False) is not None


def test_one_kind_is_compiled_once_for_all_threads(monkeypatch):
    made = []
    monkeypatch.setattr(module, "_kernels", module.OncePerKey())
    monkeypatch.setattr(module, "_tried", lambda *asked: made.append(asked) or asked)
    threads = [
        threading.Thread(target=lambda: kernel_for(*three(), halves=False)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [(32, HERE.lanes, False, "float32")]


@pytest.mark.parametrize(
    ("states", "why"),
    [
        (three(torch.float16), "float16"),
        (three(dim=20), "no whole vectors"),
        ([three()[0], *three(heads=1)[1:]], "grouped heads"),
        ([part.transpose(0, 2).contiguous().transpose(0, 2) for part in three()], "far numbers"),
        ([part.to("meta") for part in three()], "not on the CPU"),
        ([three()[0].requires_grad_(), *three()[1:]], "gradients"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_others_are_left_to_torch(states, why):
    assert kernel_for(*states, halves=True) is None


@pytest.mark.parametrize(
    ("dtype", "dim", "halves", "has", "multiplied"),
    [
        (torch.float32, 32, False, True, "float32"),
        (torch.float32, 32, True, True, "bfloat16"),
        (torch.float32, 32, True, False, "int16"),
        (torch.float32, 48, True, True, "float32"),
        (torch.float32, 48, True, False, "float32"),
        (torch.bfloat16, 32, False, True, "bfloat16"),
        (torch.bfloat16, 32, False, False, "int16"),
    ],
)
def test_numbers_of_16_bits_are_multiplied_where_they_may_be(
    dtype, dim, halves, has, multiplied, monkeypatch
):
    monkeypatch.setattr(module, "cpu_vectors", lambda: Vectors(16, halves=has))
    monkeypatch.setattr(module, "_kernels", module.OncePerKey())
    monkeypatch.setattr(module, "_tried", lambda *asked: asked)
    asked = kernel_for(*three(dtype, dim=dim), halves=halves)
    assert asked == (dim, 16, dtype == torch.bfloat16, multiplied)


# --- attend ---


LENGTHS, ATTENDED = (9, 9, 5), (9, 6, 5)


def attended_by_torch(states, monkeypatch, **options) -> torch.Tensor:
    with monkeypatch.context() as patch:
        patch.setattr("rag_rerankers.engine.attention.kernel_for", lambda *_, **__: None)
        return attend(*states, layout=PackedLayout.of(LENGTHS, ATTENDED, CPU), **options)


@pytest.mark.parametrize("scaling", [None, 0.7])
def test_attend_gives_what_it_gives_without(scaling, monkeypatch):
    states = states_of(PLAIN[0], 23).unbind(1)
    expected = attended_by_torch(states, monkeypatch, scaling=scaling)
    assert kernel_for(*states, halves=False)  # made, and tried
    calls = []
    call = AttentionKernel.__call__
    monkeypatch.setattr(
        AttentionKernel, "__call__", lambda *a, **k: calls.append(1) or call(*a, **k)
    )
    got = attend(*states, layout=PackedLayout.of(LENGTHS, ATTENDED, CPU), scaling=scaling)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    assert calls == [1]


@pytest.mark.parametrize(
    "options", [{"window": 3}, {"firsts": True}, {"window": 9}], ids=["window", "firsts", "wide"]
)
def test_attend_leaves_windows_and_first_tokens_to_torch(options, monkeypatch):
    query, key, value = states_of(PLAIN[0], 23).unbind(1)
    if options.get("firsts"):
        query = query[[0, 9, 18]]
    states = (query, key, value)
    expected = attended_by_torch(states, monkeypatch, **options)
    got = attend(*states, layout=PackedLayout.of(LENGTHS, ATTENDED, CPU), **options)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_attend_leaves_sequences_that_see_nothing_to_torch(monkeypatch):
    states = states_of(PLAIN[0], 23).unbind(1)
    assert kernel_for(*states, halves=False)  # made, and tried
    monkeypatch.setattr(AttentionKernel, "__call__", None)
    got = attend(*states, layout=PackedLayout.of(LENGTHS, (9, 0, 5), CPU))
    assert got[[*range(9), *range(18, 23)]].isfinite().all()


# --- where it cannot be ---


@pytest.fixture
def nothing_made(monkeypatch):
    monkeypatch.setattr(module, "_kernels", module.OncePerKey())


def test_a_kernel_that_is_wrong_is_not_used(nothing_made, monkeypatch, caplog):
    monkeypatch.setattr(module, "_difference_from_torch", lambda *_: float("nan"))
    with caplog.at_level(logging.WARNING):
        assert kernel_for(*three(), halves=False) is None
    assert "attention is left to torch" in caplog.text
    assert "is wrong by nan" in caplog.text


def test_it_is_tried_before_it_is_used(nothing_made, monkeypatch):
    code = module.AttentionKernel.__call__

    def slightly_wrong(*given, **options):
        return code(*given, **options) * 1.0001

    monkeypatch.setattr(module.AttentionKernel, "__call__", slightly_wrong)
    assert kernel_for(*three(), halves=False) is None


def test_a_system_that_forbids_machine_code(nothing_made, monkeypatch, caplog):
    def forbidden(*_):
        raise RuntimeError("cannot allocate executable memory")

    monkeypatch.setattr(module, "machine_code", forbidden)
    with caplog.at_level(logging.WARNING):
        assert kernel_for(*three(), halves=False) is None
        assert kernel_for(*three(), halves=False) is None
    assert caplog.text.count("cannot allocate executable memory") == 1


def test_no_vectors_no_kernel(monkeypatch):
    monkeypatch.setattr(module, "cpu_vectors", lambda: Vectors(0))
    assert kernel_for(*three(), halves=True) is None
