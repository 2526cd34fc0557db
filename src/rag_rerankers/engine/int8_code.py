"""What stands between int8 products, in LLVM's instructions: a row at a time, while it is in cache.

A product of levels comes as float32, scaled for each output. What is left is the scale of its row,
the bias, and what the model does next; then the row is rounded to levels for the next product, see
:class:`rag_rerankers.engine.linear.Int8Linear`. A number that is none makes its whole row none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rag_rerankers.engine.vector_code import BYTE, FLOAT, LONG, ONLY_WHOLE, POINTER, VectorCode

__all__ = ["GELU", "NORM", "RESCALE", "ROUND", "add_steps", "write_steps"]

ROUND, RESCALE, GELU, NORM = "round_rows", "rescale_rows", "gelu_rows", "norm_rows"

_SMALLEST = 1e-20
"""The least scale: of a row of nothing but zeros."""
_FAR_BELOW = -1e30
_GELU_RANGE = 4.21875
_GELU_SERIES = (
    4.8158714e-11, -4.7160301e-09, 2.0481796e-07, -5.2499651e-06, 8.9464713e-05,
    -0.0010844576, 0.0097351551, -0.066215244, 0.39883965,
)  # fmt: skip


def write_steps(lanes: int) -> str:
    """The text of a module with four functions over rows whose length is a multiple of ``lanes``.

    All take addresses, then the first row, the one to stop before, and how many numbers a row has.

    ``ROUND``: states; levels, scales; and where states lie. Levels of 1 to 255 around 128.

    ``RESCALE``: products, scales, bias; states; and where these lie: how far rows are apart, how
    many numbers of a row lie together, a multiple of ``lanes``, and how far such pieces are apart.

    ``GELU``: products, scales, bias, memory for a row; levels, scales; and the lowest number.
    Levels of 0 to 255 from there.

    ``NORM``: products, scales, bias, residual states, weight and bias of the layer norm; states,
    levels, scales; and the norm's epsilon. Levels as for ``ROUND``.
    """
    module = ir.Module()
    add_steps(module, lanes)
    return str(module)


def add_steps(module: ir.Module, lanes: int) -> dict[str, ir.Function]:
    """Add the functions of :func:`write_steps` to a module."""
    for name, write, addresses, numbers, floats in (
        (ROUND, _round, 3, 6, 0),
        (RESCALE, _rescale, 4, 6, 0),
        (GELU, _gelu, 6, 3, 1),
        (NORM, _norm, 9, 3, 1),
    ):
        kinds = [*[POINTER] * addresses, *[LONG] * numbers, *[FLOAT] * floats]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        code = _RowCode(function, lanes)
        write(code, *function.args)
        code.to.ret_void()
    return {name: module.get_global(name) for name in (ROUND, RESCALE, GELU, NORM)}


class _RowCode(VectorCode):
    """Instructions on rows of float32."""

    def over_rows(self, first: Any, stop: Any, body: Callable[[Any], None]) -> None:
        self.loop(stop, body, start=first)

    def row(self, base: Any, row: Any, width: Any, kind: ir.Type = FLOAT) -> Any:
        """Where a row lies."""
        return self.at(base, self.times(row, width), kind)

    def numbers(self, row: Any, column: Any) -> Any:
        """A vector of a row."""
        return self.load(self.at(row, column, FLOAT), self.floats)

    def put(self, vector: Any, row: Any, column: Any) -> None:
        """Write a vector of a row."""
        self.store(vector, self.at(row, column, FLOAT))

    def of_row(self, base: Any, row: Any) -> Any:
        """The row's own number, in every lane."""
        return self.broadcast(self.load(self.at(base, row, FLOAT), FLOAT))

    def put_of_row(self, vector: Any, base: Any, row: Any) -> None:
        """Write the row's own number, which is in every lane."""
        first = self.to.extract_element(vector, self.long(0))
        self.store(first, self.at(base, row, FLOAT))

    def summed(self, vector: Any) -> Any:
        """The sum of all lanes, in every lane."""
        return self.over_lanes(vector, self.to.fadd)

    def put_levels(self, vector: Any, factor: Any, zero: int, row: Any, column: Any) -> None:
        """Round numbers times a factor, 0 to 255 once ``zero`` is added, to 8 bits."""
        shifted = self.fma(vector, factor, self.constant(ONLY_WHOLE + zero))
        levels = self.to.trunc(self.as_words(shifted), ir.VectorType(BYTE, self.lanes))
        self.store(levels, self.at(row, column, BYTE), align=1)

    def scale(self, greatest: Any, levels: float, total: Any) -> tuple[Any, Any]:
        """A row's scale and one over it."""
        scale = self.to.fmul(greatest, self.constant(1 / levels))
        scale = self.greater(scale, self.constant(_SMALLEST))
        # Nothing, unless a number of the row is none.
        scale = self.fma(total, self.constant(0.0), scale)
        return scale, self.to.fdiv(self.constant(1.0), scale)

    def rescaled(self, product: Any, scale: Any, bias: Any, column: Any) -> Any:
        """A vector of what the linear layer gives."""
        return self.fma(self.numbers(product, column), scale, self.numbers(bias, column))


def _round(
    code: _RowCode,
    states: Any,
    levels: Any,
    scales: Any,
    first: Any,
    stop: Any,
    width: Any,
    stride: Any,
    piece: Any,
    apart: Any,
) -> None:
    pieces = code.over(width, piece)

    def one_row(row: Any) -> None:
        own, line = code.row(states, row, stride), code.row(levels, row, width, BYTE)

        def look_at_piece(number: Any, *carried: Any) -> list[Any]:
            part = code.row(own, number, apart)

            def look(column: Any, greatest: Any, total: Any) -> list[Any]:
                numbers = code.numbers(part, column)
                return [code.greater(code.size(numbers), greatest), code.to.fadd(total, numbers)]

            return code.loop(piece, look, carried, step=code.lanes)

        greatest, total = code.loop(pieces, look_at_piece, [code.constant(0.0)] * 2)
        inverse = _put_scale(code, greatest, total, scales, row)

        def put_piece(number: Any) -> None:
            part, into = code.row(own, number, apart), code.row(line, number, piece, BYTE)
            _put_symmetric(code, part, inverse, into, piece)

        code.loop(pieces, put_piece)

    code.over_rows(first, stop, one_row)


def _put_scale(code: _RowCode, greatest: Any, total: Any, scales: Any, row: Any) -> Any:
    """Write the scale of a row's levels around 128; return one over it."""
    scale, inverse = code.scale(code.over_lanes(greatest, code.greater), 127.0, code.summed(total))
    code.put_of_row(scale, scales, row)
    return inverse


def _put_symmetric(code: _RowCode, own: Any, inverse: Any, line: Any, width: Any) -> None:
    def put(column: Any) -> None:
        code.put_levels(code.numbers(own, column), inverse, 128, line, column)

    code.loop(width, put, step=code.lanes)


def _rescale(
    code: _RowCode,
    products: Any,
    scales: Any,
    bias: Any,
    states: Any,
    first: Any,
    stop: Any,
    width: Any,
    stride: Any,
    piece: Any,
    apart: Any,
) -> None:
    def one_row(row: Any) -> None:
        product, out = code.row(products, row, width), code.row(states, row, stride)
        scale = code.of_row(scales, row)

        def one_piece(number: Any) -> None:
            first, into = code.times(number, piece), code.row(out, number, apart)

            def put(column: Any) -> None:
                numbers = code.rescaled(product, scale, bias, code.plus(first, column))
                code.put(numbers, into, column)

            code.loop(piece, put, step=code.lanes)

        code.loop(code.over(width, piece), one_piece)

    code.over_rows(first, stop, one_row)


def _gelu(
    code: _RowCode,
    products: Any,
    scales: Any,
    bias: Any,
    scratch: Any,
    levels: Any,
    new_scales: Any,
    first: Any,
    stop: Any,
    width: Any,
    lowest: Any,
) -> None:
    lowest = code.broadcast(lowest)

    def one_row(row: Any) -> None:
        product, scale = code.row(products, row, width), code.of_row(scales, row)

        def look(column: Any, greatest: Any, total: Any) -> list[Any]:
            numbers = _gelu_of(code, code.rescaled(product, scale, bias, column))
            above = code.to.fsub(numbers, lowest)
            code.put(above, scratch, column)
            return [code.greater(above, greatest), code.to.fadd(total, above)]

        greatest, total = code.loop(
            width, look, [code.constant(0.0), code.constant(0.0)], step=code.lanes
        )
        new, inverse = code.scale(
            code.over_lanes(greatest, code.greater), 255.0, code.summed(total)
        )
        code.put_of_row(new, new_scales, row)
        line = code.row(levels, row, width, BYTE)

        def put(column: Any) -> None:
            code.put_levels(code.numbers(scratch, column), inverse, 0, line, column)

        code.loop(width, put, step=code.lanes)

    code.over_rows(first, stop, one_row)


def _gelu_of(code: _RowCode, numbers: Any) -> Any:
    """``x Phi(x)``, right to 5e-5, less than a tenth of the smallest step between its levels.

    Within 4.22 of zero ``Phi(x) = 1/2 + x P(x**2)``, with ``P`` fitted so that the greatest error
    of ``x Phi(x)`` is least, and so that ``Phi`` is 0 or 1 there; beyond, it stays so.
    """
    near = code.greater(numbers, code.constant(-_GELU_RANGE))
    near = code.lesser(near, code.constant(_GELU_RANGE))
    squared = code.to.fmul(near, near)
    first, *others = _GELU_SERIES
    series = code.constant(first)
    for factor in others:
        series = code.fma(series, squared, code.constant(factor))
    return code.to.fmul(numbers, code.fma(series, near, code.constant(0.5)))


def _norm(
    code: _RowCode,
    products: Any,
    scales: Any,
    bias: Any,
    residual: Any,
    weight: Any,
    norm_bias: Any,
    states: Any,
    levels: Any,
    new_scales: Any,
    first: Any,
    stop: Any,
    width: Any,
    epsilon: Any,
) -> None:
    epsilon = code.broadcast(epsilon)
    count = code.broadcast(code.to.sitofp(width, FLOAT))

    def one_row(row: Any) -> None:
        product, own = code.row(products, row, width), code.row(residual, row, width)
        scale, out = code.of_row(scales, row), code.row(states, row, width)

        def add(column: Any, total: Any) -> list[Any]:
            numbers = code.rescaled(product, scale, bias, column)
            numbers = code.to.fadd(numbers, code.numbers(own, column))
            code.put(numbers, out, column)
            return [code.to.fadd(total, numbers)]

        (total,) = code.loop(width, add, [code.constant(0.0)], step=code.lanes)
        mean = code.to.fdiv(code.summed(total), count)

        def spread(column: Any, total: Any) -> list[Any]:
            distance = code.to.fsub(code.numbers(out, column), mean)
            return [code.fma(distance, distance, total)]

        (total,) = code.loop(width, spread, [code.constant(0.0)], step=code.lanes)
        variance = code.to.fdiv(code.summed(total), count)
        root = code.root(code.to.fadd(variance, epsilon))
        inverse = code.to.fdiv(code.constant(1.0), root)

        def norm(column: Any, greatest: Any, total: Any) -> list[Any]:
            distance = code.to.fsub(code.numbers(out, column), mean)
            numbers = code.fma(
                code.to.fmul(distance, inverse),
                code.numbers(weight, column),
                code.numbers(norm_bias, column),
            )
            code.put(numbers, out, column)
            return [code.greater(code.size(numbers), greatest), code.to.fadd(total, numbers)]

        greatest, total = code.loop(
            width, norm, [code.constant(0.0), code.constant(0.0)], step=code.lanes
        )
        inverse = _put_scale(code, greatest, total, new_scales, row)
        _put_symmetric(code, out, inverse, code.row(levels, row, width, BYTE), width)

    code.over_rows(first, stop, one_row)
