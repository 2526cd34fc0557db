"""A layer's int8 products with all that stands between them, in LLVM's instructions.

A block of rows goes from product to product while its states are in the second cache: the wide
states of a whole batch would go through memory instead, as 32-bit numbers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from rag_rerankers.engine.int8_code import GELU, NORM, RESCALE, ROUND, add_steps
from rag_rerankers.engine.product_code import ProductKind, add_product
from rag_rerankers.engine.vector_code import BYTE, FLOAT, LONG, POINTER, VectorCode

__all__ = ["ADDRESSES", "FINISH", "finish_bytes", "multiply", "multiply_bytes", "write_blocks"]

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


def finish_bytes(hidden: int, inner: int) -> int:
    """Bytes of scratch memory that ``FINISH`` needs."""
    return _ROWS * (5 * inner + hidden + 8) + 4 * inner + 7 * _LINE


def write_blocks(hidden: ProductKind, inner: ProductKind) -> str:
    """The text of a module for layers of these widths, the second at least as large as the first.

    Beside the steps of :func:`rag_rerankers.engine.int8_code.write_steps` it has:

    ``multiply(kind)``, for both: addresses of levels, shape (tokens, width), and their scales; of
    weights and what belongs to them, see :func:`rag_rerankers.engine.product_code.add_product`, and
    bias; of states, shape (tokens, outputs), and scratch memory; the first row and the one to stop
    before; how many outputs.

    ``FINISH``: the address of all :data:`ADDRESSES`; the first row and the one to stop before; the
    lowest number that GELU gives; each norm's epsilon.

    Levels are read up to a multiple of the product's rows, behind the last one.
    """
    module = ir.Module()
    steps = add_steps(module, hidden.lanes)
    products = {}
    for kind in dict.fromkeys((hidden, inner)):
        products[kind.width] = add_product(module, kind)
        _add_multiply(module, kind, products[kind.width], steps[RESCALE])
    _add_finish(module, hidden, inner, products, steps)
    return str(module)


def _over_blocks(code: VectorCode, first: Any, stop: Any, body: Any) -> None:
    """For each block: its first row, and how many it has."""

    def one_block(row: Any) -> None:
        body(row, code.least(_ROWS, code.minus(stop, row)))

    code.loop(stop, one_block, start=first, step=_ROWS)


def _add_multiply(
    module: ir.Module, kind: ProductKind, product: ir.Function, rescale: ir.Function
) -> None:
    kinds = [*[POINTER] * 8, *[LONG] * 3]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), multiply(kind))
    levels, scales, weights, weight_scales, numbers, bias, states, scratch, first, stop, outs = (
        function.args
    )
    code = VectorCode(function, kind.lanes)
    (products,) = code.parts(scratch, [0])

    def one_block(row: Any, rows: Any) -> None:
        own = code.at(levels, code.times(row, kind.width), BYTE)
        code.to.call(product, [own, weights, weight_scales, numbers, products, rows, outs])
        code.to.call(
            rescale,
            [
                *(products, code.at(scales, row, FLOAT), bias),
                *(code.at(states, code.times(row, outs), FLOAT), code.long(0), rows, outs),
            ],
        )

    _over_blocks(code, first, stop, one_block)
    code.to.ret_void()


def _add_finish(
    module: ir.Module,
    hidden: ProductKind,
    inner: ProductKind,
    products: dict[int, ir.Function],
    steps: dict[str, ir.Function],
) -> None:
    kinds = [POINTER, LONG, LONG, FLOAT, FLOAT, FLOAT]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), FINISH)
    table, first, stop, lowest, attention_epsilon, epsilon = function.args
    code = VectorCode(function, hidden.lanes)
    at = {
        name: code.load(code.at(table, number, POINTER), POINTER, align=8)
        for number, name in enumerate(ADDRESSES)
    }
    wide_row, wide, narrow = 4 * inner.width, _ROWS * inner.width, _ROWS * hidden.width
    product, row_memory, wide_levels, levels, wide_scales, scales = code.parts(
        at["scratch"], [4 * wide, wide_row, wide, narrow, 4 * _ROWS, 4 * _ROWS]
    )
    width, wide_width = code.long(hidden.width), code.long(inner.width)

    def multiplied(part: str, given: Any, by: ProductKind, rows: Any, outs: Any) -> None:
        own = (at[f"{part} {what}"] for what in ("weights", "scales", "numbers"))
        code.to.call(products[by.width], [given, *own, product, rows, outs])

    def one_block(row: Any, rows: Any) -> None:
        def block(name: str, kind: ir.Type = FLOAT) -> Any:
            return code.at(at[name], code.times(row, width), kind)

        def norm(part: str, product_scales: Any, bias: str, residual: Any, into: Any) -> list[Any]:
            weights = (at[bias], residual, at[f"{part} weights"], at[f"{part} bias"])
            return [
                product,
                product_scales,
                *weights,
                block("out"),
                *into,
                code.long(0),
                rows,
                width,
            ]

        code.to.call(steps[ROUND], [block("context"), levels, scales, code.long(0), rows, width])
        multiplied("attended", levels, hidden, rows, width)
        code.to.call(
            steps[NORM],
            [
                *norm("attention norm", scales, "attended bias", block("states"), (levels, scales)),
                attention_epsilon,
            ],
        )
        multiplied("widen", levels, hidden, rows, wide_width)
        code.to.call(
            steps[GELU],
            [
                *(product, scales, at["widen bias"], row_memory, wide_levels, wide_scales),
                *(code.long(0), rows, wide_width, lowest),
            ],
        )
        multiplied("narrow", wide_levels, inner, rows, width)
        into = (block("levels", BYTE), code.at(at["scales"], row, FLOAT))
        code.to.call(
            steps[NORM],
            [*norm("norm", wide_scales, "narrow bias", block("out"), into), epsilon],
        )

    _over_blocks(code, first, stop, one_block)
    code.to.ret_void()
