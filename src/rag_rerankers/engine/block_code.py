"""A layer's int8 products with all that stands between them, in LLVM's instructions.

A block of rows goes from product to product while its states are in the second cache: the wide
states of a whole batch would go through memory instead, as 32-bit numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llvmlite import ir

from rag_rerankers.engine.int8_code import GELU, NORM, RESCALE, ROUND, add_steps
from rag_rerankers.engine.product_code import ProductKind, add_product
from rag_rerankers.engine.vector_code import BYTE, FLOAT, LONG, POINTER, VectorCode

__all__ = [
    "ADDRESSES",
    "FINISH",
    "finish_bytes",
    "multiply",
    "multiply_bytes",
    "piece_of",
    "write_blocks",
]

FINISH = "finish_layer"
ADDRESSES = (
    *("context", "states", "out", "levels", "scales", "scratch"),
    *(
        f"{part} {what}"
        for part in ("attended", "widen", "narrow")
        for what in ("weights", "scales", "numbers", "bias")
    ),
    *(f"{part} {what}" for part in ("attention norm", "norm") for what in ("weights", "bias")),
)
"""What the addresses that ``FINISH`` takes are of, in their order."""

_ROWS = 36
"""Rows of a block: a multiple of all products' rows."""
_LINE = 64
"""Bytes of a cache line; each part of the scratch memory begins with one."""


def multiply(kind: ProductKind) -> str:
    """The name of the function for rows of this width."""
    return f"multiply_{kind.width}"


def multiply_bytes(outs: int) -> int:
    """Bytes of scratch memory that ``multiply`` needs."""
    return 4 * _ROWS * outs + _LINE


def piece_of(hidden: int, inner: int) -> int:
    """How many wide states are made together: as many as there are others, or all of them.

    Those of a block are read right after they were written, before weights drive them out of the
    second cache. Each piece of a token has a scale of its own.
    """
    return inner if inner % hidden else hidden


def finish_bytes(hidden: int, inner: int) -> int:
    """Bytes of scratch memory that ``FINISH`` needs."""
    piece = piece_of(hidden, inner)
    return _ROWS * (5 * piece + 5 * hidden + 12) + 4 * piece + 9 * _LINE


def write_blocks(hidden: ProductKind, inner: ProductKind) -> str:
    """The text of a module for layers of these widths, the second at least as large as the first.

    Beside the steps of :func:`rag_rerankers.engine.int8_code.write_steps` it has:

    ``multiply(kind)``, for both: addresses of levels, shape (tokens, width), and their scales; of
    weights and what belongs to them, see :func:`rag_rerankers.engine.product_code.add_product`, and
    bias; of states and scratch memory; the first row and the one to stop before; how many outputs;
    where states lie, as for ``RESCALE``, in pieces that divide ``kind.width``.

    ``FINISH``: the address of all :data:`ADDRESSES`; the first row and the one to stop before;
    where the context lies, as for ``ROUND``; the lowest number of GELU; each norm's epsilon.

    Levels are read up to a multiple of the product's rows, behind the last one.
    """
    module = ir.Module()
    steps = add_steps(module, hidden.lanes)
    products = {}
    for kind in dict.fromkeys((hidden, inner)):
        products[kind.width] = add_product(module, kind)
        _add_multiply(module, kind, products[kind.width], steps[RESCALE])
    _add_finish(module, hidden, inner, products[hidden.width], steps)
    return str(module)


def _over_blocks(code: VectorCode, first: Any, stop: Any, body: Any) -> None:
    """For each block: its first row, and how many it has."""

    def one_block(row: Any) -> None:
        body(row, code.least(_ROWS, code.minus(stop, row)))

    code.loop(stop, one_block, start=first, step=_ROWS)


def _add_multiply(
    module: ir.Module, kind: ProductKind, product: ir.Function, rescale: ir.Function
) -> None:
    kinds = [*[POINTER] * 8, *[LONG] * 6]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), multiply(kind))
    levels, scales, weights, weight_scales, numbers, bias, states, scratch, *rest = function.args
    first, stop, outs, stride, piece, apart = rest
    code = VectorCode(function, kind.lanes)
    (products,) = code.parts(scratch, [0])

    def one_block(row: Any, rows: Any) -> None:
        own = code.at(levels, code.times(row, kind.width), BYTE)

        def some_outputs(output: Any) -> None:
            # As many at a time as stay in the second cache until they are rescaled.
            count = code.least(kind.width, code.minus(outs, output))
            after = code.rest(code.plus(output, count), outs)
            here, following = (
                code.at(weights, code.times(number, kind.width), BYTE) for number in (output, after)
            )
            known = (code.at(each, output, FLOAT) for each in (weight_scales, numbers))
            code.to.call(product, [own, here, following, *known, products, rows, count])
            into = code.at(states, code.times(row, stride), FLOAT)
            into = code.at(into, code.times(code.over(output, piece), apart), FLOAT)
            given = (products, code.at(scales, row, FLOAT), code.at(bias, output, FLOAT))
            place = (stride, piece, apart)
            code.to.call(rescale, [*given, into, code.long(0), rows, count, *place])

        code.loop(outs, some_outputs, step=kind.width)

    _over_blocks(code, first, stop, one_block)
    code.to.ret_void()


def _add_finish(
    module: ir.Module,
    hidden: ProductKind,
    inner: ProductKind,
    product: ir.Function,
    steps: dict[str, ir.Function],
) -> None:
    narrow = replace(inner, width=piece_of(hidden.width, inner.width))
    adding = add_product(module, narrow, whole=inner.width)
    kinds = [POINTER, *[LONG] * 5, *[FLOAT] * 3]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), FINISH)
    table, first, stop, stride, piece, apart, lowest, attention_epsilon, epsilon = function.args
    code = VectorCode(function, hidden.lanes)
    at = {
        name: code.load(code.at(table, number, POINTER), POINTER, align=8)
        for number, name in enumerate(ADDRESSES)
    }
    many, few, row_bytes = _ROWS * narrow.width, _ROWS * hidden.width, 4 * narrow.width
    products, sums, row_memory, wide_levels, levels, wide_scales, scales, ones = code.parts(
        at["scratch"], [4 * max(many, few), 4 * few, row_bytes, many, few, *[4 * _ROWS] * 3]
    )
    for row in range(_ROWS):
        code.store(ir.Constant(FLOAT, 1.0), code.at(ones, row, FLOAT))
    width, wide = code.long(hidden.width), code.long(narrow.width)

    def one_block(row: Any, rows: Any) -> None:
        all_rows = (code.long(0), rows)

        def block(name: str, kind: ir.Type = FLOAT) -> Any:
            return code.at(at[name], code.times(row, width), kind)

        def weights_of(part: str, number: int = 0) -> Any:
            """From an output on, or for narrow states from a wide one on."""
            numbers = hidden.columns if part == "narrow" else hidden.width
            return code.at(at[f"{part} weights"], number * numbers, BYTE)

        def multiply(part: str, following: Any, into: Any, outs: Any, *, output: int = 0) -> None:
            """Levels with the weights of some outputs, from this one on."""
            own = (code.at(at[f"{part} {what}"], output, FLOAT) for what in ("scales", "numbers"))
            weights = (weights_of(part, output), following)
            code.to.call(product, [levels, *weights, *own, into, rows, outs])

        def add_piece(number: int) -> None:
            after = number + narrow.width
            following = weights_of(
                "attended" if after == inner.width else "widen", after % inner.width
            )
            weights = weights_of("narrow", number)
            multiply("widen", weights, products, wide, output=number)
            bias = code.at(at["widen bias"], number, FLOAT)
            results = (row_memory, wide_levels, wide_scales)
            code.to.call(steps[GELU], [products, scales, bias, *results, *all_rows, wide, lowest])
            own = (at["narrow scales"], at["narrow numbers"])
            known = (wide_levels, weights, following, *own)
            code.to.call(adding, [*known, sums, wide_scales, rows, width])

        def norm(
            part: str, given: tuple[Any, Any, Any], residual: Any, into: tuple[Any, Any], eps: Any
        ) -> None:
            weights = (at[f"{part} weights"], at[f"{part} bias"])
            where = (block("out"), *into, *all_rows, width)
            code.to.call(steps[NORM], [*given, residual, *weights, *where, eps])

        own = code.at(at["context"], code.times(row, stride), FLOAT)
        place = (stride, piece, apart)
        code.to.call(steps[ROUND], [own, levels, scales, *all_rows, width, *place])
        multiply("attended", weights_of("widen"), products, width)
        given, into = (products, scales, at["attended bias"]), (levels, scales)
        norm("attention norm", given, block("states"), into, attention_epsilon)
        nothing = code.constant(0.0)
        code.loop(few, lambda i: code.store(nothing, code.at(sums, i, FLOAT)), step=code.lanes)
        for number in range(0, inner.width, narrow.width):
            add_piece(number)
        given = (sums, ones, at["narrow bias"])
        into = (block("levels", BYTE), code.at(at["scales"], row, FLOAT))
        norm("norm", given, block("out"), into, epsilon)

    _over_blocks(code, first, stop, one_block)
    code.to.ret_void()
