"""The product of 8-bit whole numbers, in LLVM's instructions.

Some rows and two vectors of columns at a time: their sums stay in registers while both are read
once. Sums are whole numbers of 32 bits, so that a product is exact, in whatever order it is added
up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from rag_rerankers.engine.vector_code import BYTE, FLOAT, INT, LONG, POINTER, VectorCode

__all__ = ["ProductKind", "add_product"]

_PER_WORD = 4
"""Bytes that are multiplied and added up together."""
_VECTORS = 2
_LINE = 64
"""Bytes of a cache line."""


@dataclass(frozen=True, slots=True)
class ProductKind:
    """What a product is made for.

    Attributes:
        width: Numbers of a row, a multiple of 4. Known beforehand, for then rows
            lie at known distances, and need no register each.
        lanes: Numbers of 32 bits in one of the CPU's vectors.
        at_once: Whether it has VNNI; else weights are of -63 to 63.
    """

    width: int
    lanes: int
    at_once: bool

    @property
    def rows(self) -> int:
        """Rows that are multiplied together: as many as the registers hold sums for."""
        if self.lanes == 16:
            return 12
        return 6 if self.at_once else 4

    @property
    def columns(self) -> int:
        """Columns that are multiplied together: of a panel of weights."""
        return _VECTORS * self.lanes


def add_product(module: ir.Module, kind: ProductKind, *, whole: int | None = None) -> ir.Function:
    """Add a function to a module.

    Its arguments: addresses of levels, shape (rows, width); of weights, in panels of shape
    (width / 4, columns, 4), each vector at a multiple of its size; of weights that will be needed
    next; of a scale and a whole number for each output; and of products; then the number of rows
    and of outputs. A product is ``scale (number + sum of levels times weights)``. Rows are read and
    written up to a multiple of ``kind.rows``.

    Args:
        module: The module.
        kind: What the product is made for.
        whole: Makes it the product of a piece of rows of this width: weights are those of the
            piece in panels of the whole. The function has an argument more, the address of a scale
            for each row, and adds what it multiplies with that to the products that are there.
    """
    kinds = [*[POINTER] * (6 if whole is None else 7), *[LONG] * 2]
    name = f"product_of_{kind.width}" if whole is None else f"add_product_of_{kind.width}"
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    levels, weights, following, scales, numbers, products, *row_scales, rows, outs = function.args
    code = VectorCode(function, kind.lanes)
    words, panel_bytes = kind.width // _PER_WORD, kind.columns * (whole or kind.width)
    tiles = code.over(code.plus(rows, kind.rows - 1), kind.rows)
    panels = code.over(outs, kind.columns)
    last = code.minus(panels, 1)

    def one_panel(panel: Any) -> None:
        column = code.times(panel, kind.columns)
        base = code.at(weights, code.times(panel, panel_bytes), BYTE)

        more = code.to.icmp_signed("<", panel, last)
        next_panel = code.to.select(more, code.at(base, panel_bytes, BYTE), following)

        def one_tile(tile: Any) -> None:
            first = code.times(tile, kind.rows)
            # While a tile is computed, a part of the next panel comes nearer.
            ahead = code.at(next_panel, code.times(tile, _LINE * words), BYTE)
            sums = _sums(
                code,
                kind,
                code.at(levels, code.times(first, kind.width), BYTE),
                base,
                code.at(numbers, column),
                ahead,
            )
            for row in range(kind.rows):
                line = code.at(
                    products, code.plus(code.times(code.plus(first, row), outs), column), FLOAT
                )
                for vector in range(_VECTORS):
                    at = vector * kind.lanes
                    scale = code.load(code.at(scales, code.plus(column, at), FLOAT), code.floats)
                    total = code.to.sitofp(sums[row * _VECTORS + vector], code.floats)
                    result, where = code.to.fmul(total, scale), code.at(line, at, FLOAT)
                    for own in row_scales:
                        number = code.load(code.at(own, code.plus(first, row), FLOAT), FLOAT)
                        before = code.load(where, code.floats)
                        result = code.fma(result, code.broadcast(number), before)
                    code.store(result, where)

        code.loop(tiles, one_tile)

    code.loop(panels, one_panel)
    code.to.ret_void()
    return function


def _sums(
    code: VectorCode, kind: ProductKind, levels: Any, weights: Any, numbers: Any, ahead: Any
) -> list[Any]:
    """For each row of a tile, the sums of a panel's columns."""
    beginning = [
        code.load(code.at(numbers, vector * kind.lanes), code.words) for vector in range(_VECTORS)
    ]

    def one_word(word: Any, *sums: Any) -> list[Any]:
        panel = code.at(weights, code.times(word, _PER_WORD * kind.columns), BYTE)
        vectors = [
            code.load_vector(code.at(panel, vector * kind.lanes), code.words)
            for vector in range(_VECTORS)
        ]
        here = code.at(levels, code.times(word, _PER_WORD), BYTE)
        code.prefetch(code.at(ahead, code.times(word, _LINE), BYTE))
        results: list[Any] = []
        for row in range(kind.rows):
            own = code.load(code.at(here, row * kind.width, BYTE), INT, align=1)
            spread = code.broadcast(own)
            for vector in vectors:
                total = sums[len(results)]
                results.append(code.add_byte_products(total, spread, vector, at_once=kind.at_once))
        return results

    return code.loop(kind.width // _PER_WORD, one_word, beginning * kind.rows)
