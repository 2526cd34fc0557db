"""How the attention kernel reads and writes states, and what it makes of them to be multiplied."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llvmlite import ir

from rag_rerankers.engine.vector_code import FLOAT, ONLY_WHOLE, SHORT, VectorCode

__all__ = ["COLUMNS", "KernelKind", "Numbers", "States", "word_of"]

COLUMNS = 2
"""Vectors of keys that are multiplied together."""


_ROWS = {8: 6, 16: 8}
"""Queries that are multiplied together, by lanes: as many as registers hold sums for."""


class Numbers(enum.Enum):
    """What is multiplied."""

    FLOATS = "float32"
    HALVES = "bfloat16"
    LEVELS = "int16"
    """Whole numbers, see :mod:`rag_rerankers.engine.level_code`."""


@dataclass(frozen=True, slots=True)
class KernelKind:
    """What a kernel is made for.

    Everything that is multiplied is laid out in *words* of 32 bits: one float32, or two numbers of
    16 bits, whose products the CPU adds up in 32 bits by one instruction.

    ========  =========================================================================
    keys      transposed: a vector holds one word of as many keys as it has lanes
    values    a word holds one number of one key, or of two keys one vector apart
    queries   rows of words, which hold one number, or two numbers one vector apart
    weights   rows of words, which hold one key's, or those of two keys one vector apart
    ========  =========================================================================

    Attributes:
        dim: Numbers of a head: a multiple of ``lanes``, and of twice as many for words of two.
        lanes: Numbers of 32 bits in one of the CPU's vectors.
        stored_half: Whether states lie in memory as bfloat16; else as float32.
        multiplied: As what they are multiplied.
    """

    dim: int
    lanes: int
    stored_half: bool
    multiplied: Numbers

    @property
    def per_word(self) -> int:
        """Numbers in a word."""
        return 1 if self.multiplied is Numbers.FLOATS else 2

    @property
    def words(self) -> int:
        """Words of a head."""
        return self.dim // self.per_word

    @property
    def rows(self) -> int:
        """Queries that are multiplied together."""
        return _ROWS[self.lanes]

    @property
    def block(self) -> int:
        """Keys are laid out in multiples of this."""
        return COLUMNS * self.lanes


@dataclass(frozen=True, slots=True)
class States:
    """Rows of a head's numbers in memory.

    Attributes:
        kind: How many numbers, and of what type.
        code: Where instructions go.
        base: Address of the first row.
        stride: How many numbers apart rows are.
    """

    kind: KernelKind
    code: VectorCode
    base: Any
    stride: Any

    def part(self, token: Any, number: Any) -> States:
        """The rows from this token on, and in them the numbers from this one on."""
        index = self.code.plus(self.code.times(token, self.stride), number)
        return replace(self, base=self._at(self.base, index))

    def read(self, token: Any, first: int) -> Any:
        """A vector of float32 from a token's row."""
        code, where = self.code, self._in_row(token, first)
        if not self.kind.stored_half:
            return code.load(where, code.floats)
        halves = code.load(where, ir.VectorType(SHORT, code.lanes), align=2)
        return code.as_floats(code.to.shl(code.to.zext(halves, code.words), code.constant(16)))

    def write(self, numbers: Any, token: Any, first: int) -> None:
        """Put a vector of float32 into a token's row."""
        code, where = self.code, self._in_row(token, first)
        if not self.kind.stored_half:
            code.store(numbers, where)
            return
        upper = code.to.lshr(_rounded(code, numbers), code.constant(16))
        code.store(code.to.trunc(upper, ir.VectorType(SHORT, code.lanes)), where, align=2)

    def words(self, token: Any, factor: Any) -> Sequence[Any]:
        """A token's row as vectors of words; ``factor`` as for :func:`word_of`."""
        vectors, per = self.vectors(token), self.kind.per_word
        return [
            word_of(self.code, self.kind, vectors[first : first + per], factor)
            for first in range(0, len(vectors), per)
        ]

    def vectors(self, token: Any) -> list[Any]:
        """A token's row as vectors of float32."""
        return [self.read(token, first) for first in range(0, self.kind.dim, self.kind.lanes)]

    def _in_row(self, token: Any, number: int) -> Any:
        return self._at(self._at(self.base, self.code.times(token, self.stride)), number)

    def _at(self, base: Any, index: Any) -> Any:
        return self.code.at(base, index, SHORT if self.kind.stored_half else FLOAT)


def word_of(code: VectorCode, kind: KernelKind, vectors: Sequence[Any], factor: Any) -> Any:
    """A vector of words from as many vectors of float32 as there are numbers in a word.

    Args:
        code: Where instructions go.
        kind: Whose words.
        vectors: The numbers.
        factor: What makes whole numbers of them, where there are to be some.
    """
    if kind.multiplied is Numbers.FLOATS:
        return code.as_words(*vectors)
    if kind.multiplied is Numbers.HALVES:
        low, high = (_rounded(code, vector) for vector in vectors)
        low, high = (
            code.to.lshr(low, code.constant(16)),
            code.to.and_(high, code.constant(-0x10000)),
        )
    else:
        whole = code.constant(ONLY_WHOLE)
        low, high = (code.as_words(code.fma(vector, factor, whole)) for vector in vectors)
        low, high = code.to.and_(low, code.constant(0xFFFF)), code.to.shl(high, code.constant(16))
    return code.to.or_(low, high)


def _rounded(code: VectorCode, numbers: Any) -> Any:
    """Words whose upper half is the nearest bfloat16."""
    return code.to.add(code.as_words(numbers), code.constant(0x8000))
