"""LLVM's instructions, as far as arithmetic on vectors needs them, with loops that carry values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

__all__ = ["BYTE", "FLOAT", "INT", "LONG", "ONLY_WHOLE", "POINTER", "SHORT", "VectorCode"]

LONG, INT, SHORT, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(16), ir.IntType(8)
FLOAT = ir.FloatType()
POINTER = ir.PointerType()

ONLY_WHOLE = 12582912.0
"""1.5 times 2 to the 23rd. A float32 as large is a whole number, and its lowest bits hold what a
small number that was added to it has been rounded to."""

_WORD_BYTES = 4
_LINE = 64
"""Bytes of a cache line."""


# What multiplies and adds up pairs in vectors of so many bits.
_PAIRS_OF_BYTES = {256: "avx2.pmadd.ub.sw", 512: "avx512.pmaddubs.w.512"}
_PAIRS_OF_SHORTS = {256: "avx2.pmadd.wd", 512: "avx512.pmaddw.d.512"}


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's type, for which llvmlite has no name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


@cache
def _series_of_powers(degree: int) -> tuple[float, ...]:
    """Factors of a polynomial that is ``2**f`` for ``|f| <= 1/2``, the constant one first."""
    series = np.polynomial.Chebyshev.interpolate(np.exp2, degree, domain=[-0.5, 0.5])
    factors = series.convert(kind=np.polynomial.Polynomial, domain=[-1, 1]).coef
    return tuple(float(factor) for factor in factors)


class VectorCode:
    """Appends instructions to a function.

    Whole numbers may be Python's, where they are known, or LLVM's of 64 bits.

    Args:
        function: An LLVM function without a body.
        lanes: Numbers of 32 bits in a vector.

    Attributes:
        to: llvmlite's builder, for what has no shorter name here.
        floats: Type of a vector of float32.
        words: Type of a vector of 32 bits each.
    """

    def __init__(self, function: ir.Function, lanes: int) -> None:
        self.to = ir.IRBuilder(function.append_basic_block())
        self.lanes = lanes
        self.floats = ir.VectorType(FLOAT, lanes)
        self.words = ir.VectorType(INT, lanes)

    # --- whole numbers ---

    def long(self, value: Any) -> Any:
        """The number for LLVM."""
        return ir.Constant(LONG, value) if isinstance(value, int) else value

    def plus(self, *terms: Any) -> Any:
        """Their sum."""
        total = self.long(terms[0])
        for term in terms[1:]:
            total = self.to.add(total, self.long(term))
        return total

    def minus(self, one: Any, other: Any) -> Any:
        """Their difference."""
        return self.to.sub(self.long(one), self.long(other))

    def times(self, one: Any, other: Any) -> Any:
        """Their product."""
        return self.to.mul(self.long(one), self.long(other))

    def over(self, one: Any, other: Any) -> Any:
        """How many times the other is in it."""
        return self.to.sdiv(self.long(one), self.long(other))

    def rest(self, one: Any, other: Any) -> Any:
        """What is left of it after division."""
        return self.to.srem(self.long(one), self.long(other))

    def least(self, one: Any, other: Any) -> Any:
        """The smaller one."""
        one, other = self.long(one), self.long(other)
        return self.to.select(self.to.icmp_signed("<", one, other), one, other)

    # --- memory ---

    def at(self, base: Any, index: Any, kind: ir.Type = INT) -> Any:
        """Where element ``index`` of an array lies."""
        return self.to.gep(base, [self.long(index)], source_etype=kind)

    def load(self, where: Any, kind: ir.Type, *, align: int = _WORD_BYTES) -> Any:
        """What lies there."""
        return self.to.load(where, typ=kind, align=align)

    def load_long(self, base: Any, index: Any) -> Any:
        """An element of an array of 32 bits, as a number of 64."""
        return self.to.sext(self.load(self.at(base, index), INT), LONG)

    def load_vector(self, where: Any, kind: ir.Type) -> Any:
        """A vector that lies at a multiple of its size."""
        return self.load(where, kind, align=_WORD_BYTES * self.lanes)

    def store(self, value: Any, where: Any, *, align: int = _WORD_BYTES) -> None:
        """Put it there."""
        self.to.store(value, where, align=align)

    def store_vector(self, value: Any, where: Any) -> None:
        """Put a vector at a multiple of its size."""
        self.store(value, where, align=_WORD_BYTES * self.lanes)

    def prefetch(self, where: Any) -> None:
        """Have a cache line brought into the second cache, soon; it need not exist."""
        reading, second, data = (ir.Constant(INT, number) for number in (0, 2, 1))
        self._called("llvm.prefetch.p0", where, reading, second, data, result=ir.VoidType())

    def parts(self, memory: Any, sizes: Sequence[Any]) -> list[Any]:
        """Where parts of some memory begin, of so many bytes each: with cache lines."""
        address, parts = self.to.ptrtoint(memory, LONG), []
        for size in sizes:
            here = self.aligned(address, _LINE)
            parts.append(self.to.inttoptr(here, POINTER))
            address = self.plus(here, size)
        return parts

    def aligned(self, address: Any, size: int) -> Any:
        """The next multiple of a power of two."""
        return self.to.and_(self.plus(address, size - 1), self.long(-size))

    # --- vectors ---

    def constant(self, value: float | Sequence[int]) -> ir.Constant:
        """A vector of one float in every lane, of one whole number, or of these."""
        if isinstance(value, float):
            return ir.Constant(self.floats, [value] * self.lanes)
        return ir.Constant(self.words, [value] * self.lanes if isinstance(value, int) else value)

    def broadcast(self, value: Any) -> Any:
        """The same in every lane."""
        nothing = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        single = self.to.insert_element(nothing, value, ir.Constant(INT, 0))
        return self._shuffled(single, single, [0] * self.lanes)

    def as_floats(self, words: Any) -> Any:
        """The same bits."""
        return self.to.bitcast(words, self.floats)

    def as_words(self, floats: Any) -> Any:
        """The same bits."""
        return self.to.bitcast(floats, self.words)

    def fma(self, one: Any, other: Any, more: Any) -> Any:
        """``one * other + more``, rounded once."""
        return self._called(f"llvm.fma.v{self.lanes}f32", one, other, more)

    def add_pair_products(self, total: Any, one: Any, other: Any) -> Any:
        """Add to each lane the products of the two bfloat16 that its words hold."""
        pairs = ir.VectorType(_BFloat(), 2 * self.lanes)
        halves = (self.to.bitcast(words, pairs) for words in (one, other))
        name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * self.lanes}"
        return self._called(name, total, *halves)

    def add_level_products(self, total: Any, one: Any, other: Any) -> Any:
        """Add to each lane the products of the two whole numbers of 16 bits that its words hold.

        Where the CPU has VNNI, LLVM makes one instruction of this.
        """
        bits = 32 * self.lanes
        shorts = ir.VectorType(SHORT, bits // SHORT.width)
        pairs = (self.to.bitcast(words, shorts) for words in (one, other))
        name = f"llvm.x86.{_PAIRS_OF_SHORTS[bits]}"
        return self.to.add(total, self._called(name, *pairs, result=self.words))

    def add_byte_products(self, total: Any, unsigned: Any, signed: Any, *, at_once: bool) -> Any:
        """Add to each lane the products of the four bytes that its words hold.

        Args:
            total: What is added to: 32 bits in each lane.
            unsigned: Bytes of 0 to 255.
            signed: Bytes of -128 to 127, or of -64 to 63 where it is not done at once.
            at_once: By VNNI. Else two products are added in 16 bits, which hold no more.
        """
        bits = 32 * self.lanes
        if at_once:
            return self._called(f"llvm.x86.avx512.vpdpbusd.{bits}", total, unsigned, signed)
        of_bytes, of_shorts = _PAIRS_OF_BYTES[bits], _PAIRS_OF_SHORTS[bits]
        bytes_, shorts = (ir.VectorType(kind, bits // kind.width) for kind in (BYTE, SHORT))
        given = (self.to.bitcast(words, bytes_) for words in (unsigned, signed))
        pairs = self._called(f"llvm.x86.{of_bytes}", *given, result=shorts)
        ones = ir.Constant(shorts, [1] * shorts.count)
        fours = self._called(f"llvm.x86.{of_shorts}", pairs, ones, result=self.words)
        return self.to.add(total, fours)

    def greater(self, one: Any, other: Any) -> Any:
        """Lane by lane."""
        return self.to.select(self.to.fcmp_ordered(">", one, other), one, other)

    def lesser(self, one: Any, other: Any) -> Any:
        """Lane by lane."""
        return self.to.select(self.to.fcmp_ordered("<", one, other), one, other)

    def size(self, numbers: Any) -> Any:
        """Without the sign, lane by lane."""
        return self.as_floats(self.to.and_(self.as_words(numbers), self.constant(0x7FFFFFFF)))

    def root(self, numbers: Any) -> Any:
        """The square root, lane by lane."""
        return self._called(f"llvm.sqrt.v{self.lanes}f32", numbers)

    def over_lanes(self, vector: Any, join: Callable[[Any, Any], Any]) -> Any:
        """All lanes joined; the result is in every lane."""
        distance = self.lanes // 2
        while distance:
            other = self._shuffled(vector, vector, [i ^ distance for i in range(self.lanes)])
            vector = join(vector, other)
            distance //= 2
        return vector

    def transposed(self, rows: Sequence[Any]) -> list[Any]:
        """As many vectors as they have lanes, rows for columns."""
        rows, lanes, distance = list(rows), self.lanes, 1
        while distance < lanes:
            stay = [i if not i & distance else lanes + i - distance for i in range(lanes)]
            move = [i + distance if not i & distance else lanes + i for i in range(lanes)]
            for i in (i for i in range(lanes) if not i & distance):
                one, other = rows[i], rows[i + distance]
                rows[i] = self._shuffled(one, other, stay)
                rows[i + distance] = self._shuffled(one, other, move)
            distance *= 2
        return rows

    def power_of_two(self, exponent: Any, degree: int) -> Any:
        """``2 ** x`` for ``x <= 0``; below -100 it is as for -100.

        So what is multiplied with it stays normal: the CPU takes long for numbers below 2**-126.

        The whole part goes into the float's exponent; for the rest, ``|f| <= 1/2``, a polynomial
        of that degree is taken, which is ``2**f`` in Chebyshev's points.
        """
        exponent = self.greater(exponent, self.constant(-100.0))
        rounded = self.to.fadd(exponent, self.constant(ONLY_WHOLE))
        part = self.to.fsub(exponent, self.to.fsub(rounded, self.constant(ONLY_WHOLE)))
        first, *others = reversed(_series_of_powers(degree))
        series = self.constant(first)
        for factor in others:
            series = self.fma(series, part, self.constant(factor))
        shift = self.to.shl(self.as_words(rounded), self.constant(23))
        return self.as_floats(self.to.add(self.as_words(series), shift))

    def _shuffled(self, one: Any, other: Any, order: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(INT, len(order)), list(order))
        return self.to.shuffle_vector(one, other, mask)

    def _called(self, name: str, *values: Any, result: ir.Type | None = None) -> Any:
        """One of LLVM's own functions, whose result is of its first argument's type, or another."""
        module = self.to.module
        kind = ir.FunctionType(result or values[0].type, [value.type for value in values])
        declared = module.globals.get(name) or ir.Function(module, kind, name)
        return self.to.call(declared, values)

    # --- loops ---

    def loop(
        self,
        stop: Any,
        body: Callable[..., Sequence[Any] | None],
        carried: Sequence[Any] = (),
        *,
        start: Any = 0,
        step: int = 1,
    ) -> list[Any]:
        """Do something for each number from ``start`` up to ``stop``.

        Args:
            stop: The first number that is too large. ``start`` is not.
            body: Takes the number and the carried values, and returns the new ones.
            carried: What the first turn gets.
            start: The first number.
            step: How far it is to the next.

        Returns:
            What the last turn returned.
        """
        before, inside, after = (
            self.to.block, self.to.append_basic_block(), self.to.append_basic_block()
        )  # fmt: skip
        self.to.branch(inside)
        self.to.position_at_end(inside)
        firsts = [self.long(start), *carried]
        number, *values = variables = [self.to.phi(first.type) for first in firsts]
        results = list(body(number, *values) or ())
        following = [self.plus(number, step), *results]
        for variable, first, value in zip(variables, firsts, following, strict=True):
            variable.add_incoming(first, before)
            variable.add_incoming(value, self.to.block)
        self.to.cbranch(self.to.icmp_signed("<", following[0], self.long(stop)), inside, after)
        self.to.position_at_end(after)
        return results
