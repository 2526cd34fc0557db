"""Each step is compiled into a function from some vectors in memory to others, and run."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="needs the extra 'cpu'")

from llvmlite import ir

from rag_rerankers.engine.machine_code import _features, cpu_vectors, machine_code
from rag_rerankers.engine.vector_code import INT, LONG, POINTER, VectorCode

LANES = 8
HERE = cpu_vectors()
HALVES_HERE = HERE.lanes == 16 and _features().get("avx512bf16")

pytestmark = pytest.mark.skipif(not HERE.lanes, reason="needs an x86 CPU with AVX2")


def run(
    vectors: Any, write: Callable[[VectorCode, list[Any]], Sequence[Any]], lanes: int = LANES
) -> np.ndarray:
    """What ``write`` makes of float32 vectors, row by row."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER]), "run")
    code = VectorCode(function, lanes)
    given = np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1, lanes)
    rows = [
        code.load(code.at(function.args[0], row * lanes), code.floats) for row in range(len(given))
    ]
    results = write(code, rows)
    for row, vector in enumerate(results):
        code.store(vector, code.at(function.args[1], row * lanes))
    code.to.ret_void()
    got = np.zeros((len(results), lanes), np.float32)
    call = machine_code(str(module), {"run": (ctypes.c_void_p, ctypes.c_void_p)})["run"]
    call(given.ctypes.data, got.ctypes.data)
    return got


@pytest.mark.parametrize(("degree", "error"), [(3, 1e-4), (4, 3.6e-6), (6, 2.6e-9)])
def test_powers_of_two(degree, error):
    """The error is a polynomial's that meets 2**f in Chebyshev's points, known beforehand."""
    exponents = -np.linspace(0, 99.9, 512, dtype=np.float32)
    got = run(exponents, lambda code, rows: [code.power_of_two(row, degree) for row in rows])
    expected = 2.0 ** exponents.astype(np.float64).reshape(-1, LANES)
    np.testing.assert_allclose(got, expected, rtol=error + 2e-7)
    assert abs(got / expected - 1).max() > 0.9 * error or degree == 6


def test_powers_of_two_do_not_vanish_or_wrap_around():
    got = run(
        [0.0, -100.0, -126.0, -200.0, -1e30, -np.inf, -0.5, -1.5],
        lambda code, rows: [code.power_of_two(rows[0], 6)],
    )
    least = 2.0**-100
    np.testing.assert_allclose(got[0, :6], [1.0, least, least, least, least, least], rtol=1e-6)
    assert got[0, 0] == 1
    np.testing.assert_allclose(got[0, 6:], [2**-0.5, 2**-1.5], rtol=1e-6)


BYTES_HERE = {8: _features().get("avxvnni"), 16: _features().get("avx512vnni")}


def words_of(bytes_: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(bytes_).view(np.float32)


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("at_once", [False, True])
def test_products_of_bytes(lanes, at_once):
    if lanes > HERE.lanes or (at_once and not BYTES_HERE[lanes]):
        pytest.skip("needs AVX-512, or VNNI")
    most = 127 if at_once else 63
    made = np.random.default_rng(0)
    unsigned = made.integers(0, 256, (lanes, 4), np.uint8)
    signed = made.integers(-most, most + 1, (lanes, 4), np.int8)
    unsigned[0], signed[0] = 255, most  # where 16 bits are nearly too few
    unsigned[1], signed[1] = 255, -most

    def write(code, rows):
        total = code.add_byte_products(code.constant(7), *map(code.as_words, rows), at_once=at_once)
        return [code.to.sitofp(total, code.floats)]

    got = run(np.stack([words_of(unsigned)[:, 0], words_of(signed)[:, 0]]), write, lanes)
    expected = 7 + (unsigned.astype(int) * signed).sum(axis=1)
    np.testing.assert_array_equal(got[0], expected)


def test_the_next_cache_line_need_not_exist():
    def write(code, rows):
        for address in (0, 64, 2**62):
            code.prefetch(code.to.inttoptr(code.long(address), POINTER))
        return rows

    np.testing.assert_array_equal(run(np.ones(LANES), write), np.ones((1, LANES)))


@pytest.mark.parametrize("lanes", [8, 16])
def test_transposing(lanes):
    square = np.arange(lanes * lanes, dtype=np.float32).reshape(lanes, lanes)
    got = run(square, lambda code, rows: code.transposed(rows), lanes)
    np.testing.assert_array_equal(got, square.T)


def test_over_lanes():
    vector = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.float32)
    got = run(
        vector,
        lambda code, rows: [
            code.over_lanes(rows[0], code.greater),
            code.over_lanes(rows[0], code.to.fadd),
        ],
    )
    np.testing.assert_array_equal(got, [[9.0] * LANES, [31.0] * LANES])


def test_size_and_root():
    vector = np.array([-4, 9, -0.0, 2, -1e-30, 1e30, 16, 0.25], np.float32)
    got = run(
        vector,
        lambda code, rows: [code.size(rows[0]), code.root(code.size(rows[0]))],
    )
    np.testing.assert_array_equal(got, [np.abs(vector), np.sqrt(np.abs(vector))])


def test_fma_is_rounded_once():
    # 1 + 2**-12 squared is 1 + 2**-11 + 2**-24: a product of its own would lose the last term.
    given = np.full(LANES, 1 + 2**-12, np.float32)
    got = run(
        given, lambda code, rows: [code.fma(rows[0], rows[0], code.constant(-(1 + 2.0**-11)))]
    )
    np.testing.assert_array_equal(got[0], np.float32(2**-24))


@pytest.mark.parametrize(("start", "stop", "step"), [(0, 5, 1), (2, 3, 1), (1, 8, 3), (0, 6, 3)])
def test_a_loop_goes_over_a_range(start, stop, step):
    def write(code, rows):
        def body(number: Any, total: Any, turns: Any) -> list[Any]:
            broadcast = code.broadcast(code.to.trunc(number, INT))
            numbers = code.to.sitofp(broadcast, code.floats)
            return [code.to.fadd(total, numbers), code.to.fadd(turns, code.constant(1.0))]

        return code.loop(stop, body, [rows[0], rows[0]], start=start, step=step)

    got = run(np.zeros(LANES), write)
    numbers = range(start, stop, step)
    np.testing.assert_array_equal(got, [[sum(numbers)] * LANES, [len(numbers)] * LANES])


def test_whole_numbers():
    def write(code, rows):
        seven = code.long(7)
        results = [
            code.plus(seven, 2, 3),
            code.minus(2, seven),
            code.times(seven, 3),
            code.over(seven, 2),
            code.rest(seven, 4),
            code.least(seven, 5),
            code.least(3, seven),
            code.aligned(code.long(65), 64),
        ]
        return [code.to.sitofp(code.broadcast(number), code.floats) for number in results]

    got = run(np.zeros(LANES), write)
    np.testing.assert_array_equal(got[:, 0], [12, -5, 21, 3, 3, 5, 3, 128])


@pytest.mark.skipif(not HALVES_HERE, reason="needs AVX512-BF16")
def test_products_of_pairs():
    """The upper half of each word and the lower one, as bfloat16."""
    low, high = np.arange(1.0, 17.0, dtype=np.float32), np.arange(2.0, 18.0, dtype=np.float32)

    def write(code, rows):
        def word(one: Any, other: Any) -> Any:
            lower = code.to.lshr(code.as_words(one), code.constant(16))
            return code.to.or_(lower, code.to.and_(code.as_words(other), code.constant(-0x10000)))

        words = word(rows[0], rows[1])
        return [code.add_pair_products(code.constant(0.5), words, words)]

    got = run([low, high], write, 16)
    np.testing.assert_array_equal(got[0], 0.5 + low**2 + high**2)


def test_constants():
    got = run(
        np.zeros(LANES),
        lambda code, rows: [
            code.constant(1.5),
            code.to.sitofp(code.constant(3), code.floats),
            code.to.sitofp(code.constant(list(range(LANES))), code.floats),
        ],
    )
    np.testing.assert_array_equal(got, [[1.5] * 8, [3.0] * 8, range(8)])


def test_an_element_of_32_bits_becomes_a_long():
    module = ir.Module()
    kinds = [POINTER, POINTER]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "run")
    code = VectorCode(function, LANES)
    code.store(code.load_long(function.args[0], 1), code.at(function.args[1], 0, LONG), align=8)
    code.to.ret_void()
    given, got = np.array([5, -7], np.int32), np.zeros(1, np.int64)
    call = machine_code(str(module), {"run": (ctypes.c_void_p, ctypes.c_void_p)})["run"]
    call(given.ctypes.data, got.ctypes.data)
    assert got[0] == -7
