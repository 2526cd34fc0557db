"""The product of float32 rows by weights in float32 or bfloat16, in LLVM's instructions.

Some rows and two vectors of columns are multiplied at a time, over a stretch of their width: rows
and weights of a stretch stay in the second cache, the sums in registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from rag_rerankers.engine.vector_code import FLOAT, INT, LONG, POINTER, VectorCode

__all__ = ["STRETCH", "FloatKind", "add_float_product"]

STRETCH = 1024
"""Numbers of a row that are multiplied before those of the next row are."""

_VECTORS = 2
_TOGETHER = 2
"""Inputs that are multiplied in a turn of the innermost loop."""
_APART = 16
"""Numbers behind each row of the scratch memory: rows whose distance is a power of two would
take the same few places of the nearest cache."""
_FLOAT_BYTES = 4
_LINE = 64
"""Bytes of a cache line."""


@dataclass(frozen=True, slots=True)
class FloatKind:
    """What products are made for.

    Attributes:
        width: Numbers of a row, a multiple of ``lanes``. Known beforehand, for then rows lie at
            known distances, and need no register each.
        lanes: Numbers of 32 bits in one of the CPU's vectors.
        halves: Whether weights are bfloat16; what is multiplied is float32 all the same.
    """

    width: int
    lanes: int
    halves: bool

    @property
    def rows(self) -> int:
        """Rows that are multiplied together: as many as the registers hold sums for."""
        return 12 if self.lanes == 16 else 6

    @property
    def columns(self) -> int:
        """Columns that are multiplied together: of a panel of weights."""
        return _VECTORS * self.lanes

    @property
    def apart(self) -> int:
        """How many numbers apart rows are in the scratch memory."""
        return self.width + _APART

    def rounded(self, code: VectorCode, rows: Any) -> Any:
        """Rows with those that fill up the last tile."""
        return code.times(self.tiles(code, rows), self.rows)

    def tiles(self, code: VectorCode, rows: Any) -> Any:
        """How many times rows are multiplied together."""
        return code.over(code.plus(rows, self.rows - 1), self.rows)


def add_float_product(module: ir.Module, kind: FloatKind) -> ir.Function:
    """Add a product of rows in the scratch memory, with a bias.

    Its arguments: addresses of rows, weights, bias and results, and of the last results, if a tile
    is not full; then how many rows and outputs there are, and how far apart results are.
    """
    kinds = [*[POINTER] * 5, *[LONG] * 3]
    name = f"product_of_{kind.width}"
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    states, weights, bias, results, last, rows, outs, apart = function.args
    code = VectorCode(function, kind.lanes)
    tiles = kind.tiles(code, rows)
    number, per_line = (INT, 2) if kind.halves else (FLOAT, 1)

    def one_stretch(begin: Any) -> None:
        size = code.least(STRETCH, code.minus(kind.width, begin))
        stretch = code.at(weights, code.over(code.times(begin, outs), per_line), number)
        lines = code.over(code.times(size, kind.columns * _FLOAT_BYTES // per_line), _LINE)
        share = code.over(code.plus(lines, code.minus(tiles, 1)), tiles)
        first_one = code.to.icmp_signed("==", begin, code.long(0))

        def one_panel(panel: Any) -> None:
            column = code.times(panel, kind.columns)
            base = code.at(stretch, code.over(code.times(column, size), per_line), number)
            next_panel = code.at(base, code.times(lines, _LINE // _FLOAT_BYTES), FLOAT)

            def one_tile(tile: Any) -> None:
                first = code.times(tile, kind.rows)
                own = code.at(states, code.plus(code.times(first, kind.apart), begin), FLOAT)
                # While a tile is computed, its share of the next panel comes nearer.
                ahead = code.times(code.times(tile, share), _LINE // _FLOAT_BYTES)
                ahead = code.at(next_panel, ahead, FLOAT)
                sums = _sums(code, kind, own, base, size, (ahead, code.minus(share, 1)))
                full = code.to.icmp_signed("<=", code.plus(first, kind.rows), rows)
                line = code.at(results, code.times(first, apart), FLOAT)
                line = code.to.select(full, line, last)
                for row in range(kind.rows):
                    for vector in range(_VECTORS):
                        at = code.plus(column, vector * kind.lanes)
                        where = code.at(line, code.plus(code.times(apart, row), at), FLOAT)
                        before = code.to.select(first_one, code.at(bias, at, FLOAT), where)
                        total = sums[row * _VECTORS + vector]
                        total = code.to.fadd(code.load(before, code.floats), total)
                        code.store(total, where)

            code.loop(tiles, one_tile)

        code.loop(code.over(outs, kind.columns), one_panel)

    code.loop(kind.width, one_stretch, step=STRETCH)
    code.to.ret_void()
    return function


def _sums(
    code: VectorCode, kind: FloatKind, states: Any, weights: Any, size: Any, ahead: tuple[Any, Any]
) -> list[Any]:
    """For each row of a tile, the sums of a panel's columns, over a stretch of their width."""
    lines, last_line = ahead

    def two_numbers(pair: Any, *sums: Any) -> list[Any]:
        results = list(sums)
        for part, vectors in enumerate(_two_of_a_panel(code, kind, weights, pair)):
            number = code.plus(code.times(pair, _TOGETHER), part)
            line = code.times(code.least(number, last_line), _LINE // _FLOAT_BYTES)
            code.prefetch(code.at(lines, line, FLOAT))
            here = code.at(states, number, FLOAT)
            for row in range(kind.rows):
                spread = code.broadcast(code.load(code.at(here, row * kind.apart, FLOAT), FLOAT))
                for at, vector in enumerate(vectors, row * _VECTORS):
                    results[at] = code.fma(spread, code.as_floats(vector), results[at])
        return results

    beginning = [code.constant(0.0)] * (_VECTORS * kind.rows)
    return code.loop(code.over(size, _TOGETHER), two_numbers, beginning)


def _two_of_a_panel(code: VectorCode, kind: FloatKind, weights: Any, pair: Any) -> list[list[Any]]:
    """The weights of two inputs: a vector for each of the columns' vectors."""

    def vectors(line: Any) -> list[Any]:
        base = code.at(weights, code.times(line, kind.columns))
        return [
            code.load_vector(code.at(base, vector * kind.lanes), code.words)
            for vector in range(_VECTORS)
        ]

    if not kind.halves:
        first = code.times(pair, _TOGETHER)
        return [vectors(first), vectors(code.plus(first, 1))]
    words = vectors(pair)
    lower = [code.to.shl(word, code.constant(16)) for word in words]
    return [lower, [code.to.and_(word, code.constant(0xFFFF0000)) for word in words]]
