"""A layer's float products with all that stands between them, in LLVM's instructions.

A block of rows goes from product to product, with the norms and GELU, before the next one begins:
so nothing goes through memory but what a layer is given and gives, and its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from rag_rerankers.engine.float_product_code import FloatKind, add_float_product
from rag_rerankers.engine.vector_code import FLOAT, LONG, POINTER, VectorCode

__all__ = [
    "ADDRESSES",
    "FINISH",
    "finish_bytes",
    "multiply",
    "multiply_bytes",
    "write_float_blocks",
]

FINISH = "finish_layer"
ADDRESSES = (
    *("context", "states", "out", "scratch"),
    *(f"{part} {what}" for part in ("attended", "widen", "narrow") for what in ("weights", "bias")),
    *(f"{part} {what}" for part in ("attention norm", "norm") for what in ("weights", "bias")),
)
"""What the addresses that ``FINISH`` takes are of, in their order."""
_ROWS = 96
"""Rows of a block, at most: a multiple of all kinds' rows. Weights come from memory once for it."""
_FLOAT_BYTES = 4
_LINE = 64
"""Bytes of a cache line; each part of the scratch memory begins with one."""
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_P = 0.3275911
"""Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: right to 1.5e-7."""
_DEGREE = 6
"""Of the polynomial for a power of two, right to 24 bits."""


def multiply(kind: FloatKind) -> str:
    """The name of the function for rows of this width."""
    return f"multiply_{kind.width}"


def multiply_bytes(kind: FloatKind, rows: int, outs: int) -> int:
    """Bytes of scratch memory that ``multiply`` needs for so many rows."""
    return _FLOAT_BYTES * (_room(kind, rows) * kind.apart + kind.rows * outs) + 2 * _LINE


def finish_bytes(hidden: FloatKind, inner: FloatKind, rows: int) -> int:
    """Bytes of scratch memory that ``FINISH`` needs for so many rows."""
    numbers = _room(hidden, rows) * (2 * hidden.apart + inner.apart)
    return _FLOAT_BYTES * numbers + 3 * _LINE


def _room(kind: FloatKind, rows: int) -> int:
    return min(_ROWS, -(-rows // kind.rows) * kind.rows)


def write_float_blocks(hidden: FloatKind, inner: FloatKind) -> str:
    """The text of a module for layers of these widths.

    ``multiply(kind)``, for both: addresses of states, shape (rows, width); of weights, see
    :class:`rag_rerankers.engine.float_blocks.FloatBlockLinear`, and bias; of results, shape (rows,
    outputs), and scratch memory; the first row and the one to stop before; how many outputs.

    ``FINISH``: the address of all :data:`ADDRESSES`; the first row and the one to stop before; each
    norm's epsilon.
    """
    module = ir.Module()
    products = {}
    for kind in dict.fromkeys((hidden, inner)):
        products[kind.width] = add_float_product(module, kind)
        _add_multiply(module, kind, products[kind.width])
    _add_finish(module, hidden, inner, products)
    return str(module)


def _add_multiply(module: ir.Module, kind: FloatKind, product: ir.Function) -> None:
    kinds = [*[POINTER] * 5, *[LONG] * 3]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), multiply(kind))
    states, weights, bias, results, scratch, first, stop, outs = function.args
    code = VectorCode(function, kind.lanes)
    room = kind.rounded(code, code.least(code.minus(stop, first), _ROWS))
    own, last = code.parts(scratch, [code.times(room, kind.apart * _FLOAT_BYTES), 0])

    def one_block(row: Any, rows: Any) -> None:
        _copy(code, kind, code.at(states, code.times(row, kind.width), FLOAT), own, rows)
        into = code.at(results, code.times(row, outs), FLOAT)
        code.to.call(product, [own, weights, bias, into, last, rows, outs, outs])
        rest = code.rest(rows, kind.rows)

        def put(number: Any) -> None:
            line = code.plus(code.minus(rows, rest), number)
            source, target = code.at(last, code.times(number, outs), FLOAT), code.times(line, outs)
            _copy_row(code, source, code.at(into, target, FLOAT), outs)

        with code.to.if_then(code.to.icmp_signed(">", rest, code.long(0))):
            code.loop(rest, put)

    _over_blocks(code, kind, first, stop, one_block)
    code.to.ret_void()


def _add_finish(
    module: ir.Module, hidden: FloatKind, inner: FloatKind, products: dict[int, ir.Function]
) -> None:
    kinds = [POINTER, LONG, LONG, FLOAT, FLOAT]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), FINISH)
    table, first, stop, attention_epsilon, epsilon = function.args
    code = VectorCode(function, hidden.lanes)
    at = {
        name: code.load(code.at(table, number, POINTER), POINTER, align=8)
        for number, name in enumerate(ADDRESSES)
    }
    room = hidden.rounded(code, code.least(code.minus(stop, first), _ROWS))
    own, product, wide = code.parts(
        at["scratch"],
        [code.times(room, kind.apart * _FLOAT_BYTES) for kind in (hidden, hidden, inner)],
    )

    def multiplied(part: str, given: Any, by: FloatKind, to: FloatKind, into: Any, up: Any) -> None:
        weights, bias = at[f"{part} weights"], at[f"{part} bias"]
        function, outs, apart = products[by.width], code.long(to.width), code.long(to.apart)
        # Scratch memory has room for a whole last tile.
        code.to.call(function, [given, weights, bias, into, into, up, outs, apart])

    def normed(part: str, rows: Any, sums: _Rows, into: _Rows, eps: Any) -> None:
        weights, bias = at[f"{part} weights"], at[f"{part} bias"]
        _norm(
            code, hidden.width, rows, (_Rows(product, hidden.apart), sums, into), weights, bias, eps
        )

    def one_block(row: Any, rows: Any) -> None:
        def block(name: str) -> Any:
            return code.at(at[name], code.times(row, hidden.width), FLOAT)

        up = hidden.rounded(code, rows)
        last = code.minus(rows, 1)
        _copy(code, hidden, block("context"), own, rows)
        multiplied("attended", own, hidden, hidden, product, up)
        states = _Rows(block("states"), hidden.width, last)
        normed("attention norm", up, states, _Rows(own, hidden.apart), attention_epsilon)
        multiplied("widen", own, hidden, inner, wide, up)
        _gelu(code, inner, wide, up)
        multiplied("narrow", wide, inner, hidden, product, up)
        out = _Rows(block("out"), hidden.width)
        normed("norm", rows, _Rows(own, hidden.apart), out, epsilon)

    _over_blocks(code, hidden, first, stop, one_block)
    code.to.ret_void()


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where rows lie, how far apart, and behind which there is none: it is taken once more."""

    base: Any
    apart: int
    last: Any = None

    def row(self, code: VectorCode, number: Any) -> Any:
        if self.last is not None:
            number = code.least(number, self.last)
        return code.at(self.base, code.times(number, self.apart), FLOAT)


def _norm(
    code: VectorCode,
    width: int,
    rows: Any,
    numbers: tuple[_Rows, _Rows, _Rows],
    weights: Any,
    bias: Any,
    epsilon: Any,
) -> None:
    """The layer norm of the sum of the first two, which writes over the first, into the third."""
    own, other, into = numbers
    spread_epsilon, count = code.broadcast(epsilon), code.constant(float(width))

    def vector(base: Any, column: Any) -> Any:
        return code.load(code.at(base, column, FLOAT), code.floats)

    def over_row(body: Callable[..., Any], *carried: Any) -> list[Any]:
        return code.loop(width, body, list(carried), step=code.lanes)

    def mean_of(total: Any) -> Any:
        return code.to.fdiv(code.over_lanes(total, code.to.fadd), count)

    def one_row(number: Any) -> None:
        line, residual, out = (part.row(code, number) for part in (own, other, into))

        def add(column: Any, total: Any) -> list[Any]:
            numbers = code.to.fadd(vector(line, column), vector(residual, column))
            code.store(numbers, code.at(line, column, FLOAT))
            return [code.to.fadd(total, numbers)]

        mean = mean_of(over_row(add, code.constant(0.0))[0])

        def spread(column: Any, total: Any) -> list[Any]:
            distance = code.to.fsub(vector(line, column), mean)
            return [code.fma(distance, distance, total)]

        variance = mean_of(over_row(spread, code.constant(0.0))[0])
        root = code.root(code.to.fadd(variance, spread_epsilon))
        inverse = code.to.fdiv(code.constant(1.0), root)

        def put(column: Any) -> None:
            distance = code.to.fmul(code.to.fsub(vector(line, column), mean), inverse)
            result = code.fma(distance, vector(weights, column), vector(bias, column))
            code.store(result, code.at(out, column, FLOAT))

        over_row(put)

    code.loop(rows, one_row)


def _gelu(code: VectorCode, kind: FloatKind, base: Any, rows: Any) -> None:
    """``x Phi(x) = max(x, 0) - |x| Phi(-|x|)``, in place."""

    def one_row(number: Any) -> None:
        line = code.at(base, code.times(number, kind.apart), FLOAT)

        def one_vector(column: Any) -> None:
            where = code.at(line, column, FLOAT)
            numbers = code.load(where, code.floats)
            size = code.size(numbers)
            share = code.fma(size, code.constant(_ERF_P * math.sqrt(0.5)), code.constant(1.0))
            share = code.to.fdiv(code.constant(1.0), share)
            first, *others = (factor / 2 for factor in reversed(_ERF))
            series = code.constant(first)
            for factor in others:
                series = code.fma(series, share, code.constant(factor))
            exponent = code.to.fmul(numbers, code.constant(-0.5 * math.log2(math.e)))
            power = code.power_of_two(code.to.fmul(exponent, numbers), _DEGREE)
            tail = code.to.fmul(code.to.fmul(series, share), power)
            above = code.greater(numbers, code.constant(0.0))
            code.store(code.to.fsub(above, code.to.fmul(size, tail)), where)

        code.loop(kind.width, one_vector, step=code.lanes)

    code.loop(rows, one_row)


def _copy(code: VectorCode, kind: FloatKind, source: Any, target: Any, rows: Any) -> None:
    """Rows into the scratch memory; the last one again and again, until its tile is full."""
    given = _Rows(source, kind.width, code.minus(rows, 1))

    def one_row(number: Any) -> None:
        line = code.at(target, code.times(number, kind.apart), FLOAT)
        _copy_row(code, given.row(code, number), line, kind.width)

    code.loop(kind.rounded(code, rows), one_row)


def _copy_row(code: VectorCode, source: Any, target: Any, width: Any) -> None:
    def one_vector(column: Any) -> None:
        numbers = code.load(code.at(source, column, FLOAT), code.floats)
        code.store(numbers, code.at(target, column, FLOAT))

    code.loop(width, one_vector, step=code.lanes)


def _over_blocks(
    code: VectorCode, kind: FloatKind, first: Any, stop: Any, body: Callable[[Any, Any], None]
) -> None:
    """For each block: its first row, and how many it has, about as many as the others."""
    rows = code.minus(stop, first)
    blocks = code.over(code.plus(rows, _ROWS - 1), _ROWS)
    each = kind.rounded(code, code.over(code.plus(rows, code.minus(blocks, 1)), blocks))

    def one_block(number: Any) -> None:
        row = code.plus(first, code.times(number, each))
        body(row, code.least(each, code.minus(stop, row)))

    code.loop(code.over(code.plus(rows, code.minus(each, 1)), each), one_block)
