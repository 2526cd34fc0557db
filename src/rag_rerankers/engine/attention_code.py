"""The attention kernel, written down in LLVM's instructions.

The sequences of a reranker are short, a few hundred tokens, so nothing is done in tiles with
running sums as in kernels for long ones: a few queries at a time are multiplied with all keys,
their scores stay in the nearest cache, and each query's softmax is taken in one go.

What is multiplied is laid out in words, see :class:`rag_rerankers.engine.state_code.KernelKind`.
Scores, weights' sums, and results before they are written, are always float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from rag_rerankers.engine.level_code import Factors, factors_of
from rag_rerankers.engine.state_code import COLUMNS, KernelKind, Numbers, States, word_of
from rag_rerankers.engine.vector_code import FLOAT, INT, LONG, POINTER, VectorCode

__all__ = ["FUNCTION", "scratch_bytes", "write_kernel"]

FUNCTION = "attend"

_LINE = 64
"""Bytes of a cache line; each part of the scratch memory begins with one."""
_WORD_BYTES = 4
_FAR_BELOW = -1e30
"""The score of a key that is not there."""
_DEGREE = {1: 6, 2: 4}
"""Of the polynomial for a weight of 24 bits, and for one that is then rounded to 15 or 8."""


def scratch_bytes(kind: KernelKind, longest: int) -> int:
    """Bytes of scratch memory that sequences of up to ``longest`` tokens need."""
    keys = -(-longest // kind.block) * kind.block
    words = keys * (kind.words + kind.dim) + kind.rows * (2 * keys + kind.words + 2 * kind.lanes)
    return _WORD_BYTES * words + 8 * _LINE


def write_kernel(kind: KernelKind) -> str:
    """The text of a module with one function, :data:`FUNCTION`.

    Its arguments: addresses of query, key, value, output, of where sequences start, of how many
    tokens of each are attended, and of the scratch memory; the first head to compute and the one to
    stop before, counted through all sequences; heads of a sequence; how many numbers tokens are
    apart in query, key, value and output, and how many heads are; the longest sequence; the factor
    on products, for powers of two.
    """
    module = ir.Module()
    arguments = [*[POINTER] * 7, *[LONG] * 12, FLOAT]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), FUNCTION)
    _Writer(kind, VectorCode(function, kind.lanes)).write(*function.args)
    return str(module)


@dataclass(frozen=True, slots=True)
class _Scratch:
    """Addresses of the parts of the scratch memory.

    Scores lie block by block of keys, in a block row by row; so do weights.
    """

    keys: Any
    values: Any
    queries: Any
    scores: Any
    weights: Any
    greatest: Any
    shares: Any


class _Writer:
    """Writes a kernel's instructions."""

    def __init__(self, kind: KernelKind, code: VectorCode) -> None:
        self._kind = kind
        self._code = code

    def write(
        self,
        query: Any,
        key: Any,
        value: Any,
        out: Any,
        starts: Any,
        attended: Any,
        scratch: Any,
        first: Any,
        stop: Any,
        heads: Any,
        query_stride: Any,
        key_stride: Any,
        value_stride: Any,
        out_stride: Any,
        query_apart: Any,
        key_apart: Any,
        value_apart: Any,
        out_apart: Any,
        longest: Any,
        factor: Any,
    ) -> None:
        """See :func:`write_kernel`."""
        code = self._code
        parts = self._parts(scratch, longest)
        spread = code.broadcast(factor)

        def one_head(number: Any) -> None:
            sequence, head = code.over(number, heads), code.rest(number, heads)
            start = code.load_long(starts, sequence)
            length = code.minus(code.load_long(starts, code.plus(sequence, 1)), start)
            keys = code.load_long(attended, sequence)

            def own(base: Any, stride: Any, apart: Any) -> States:
                whole = States(self._kind, code, base, stride)
                return whole.part(start, code.times(head, apart))

            queries = own(query, query_stride, query_apart)
            own_keys = own(key, key_stride, key_apart)
            values = own(value, value_stride, value_apart)
            results = own(out, out_stride, out_apart)
            factors = factors_of(queries, own_keys, values, tokens=length, keys=keys, factor=spread)
            self._lay_out_keys(own_keys, keys, factors, parts)
            self._lay_out_values(values, keys, factors, parts)

            def some_queries(at: Any) -> None:
                # Behind the last query, it is computed again; nothing has to be left out.
                last = code.minus(length, 1)
                tokens = [code.least(code.plus(at, row), last) for row in range(self._kind.rows)]
                self._lay_out_queries(queries, tokens, factors, parts)
                self._score(keys, parts)
                self._weigh(keys, factors, parts)
                self._sum_up(keys, results, tokens, parts)

            code.loop(length, some_queries, step=self._kind.rows)

        code.loop(stop, one_head, start=first)
        code.to.ret_void()

    def _parts(self, scratch: Any, longest: Any) -> _Scratch:
        code, kind = self._code, self._kind
        keys = code.times(self._blocks(longest), kind.block)
        weights = code.over(keys, kind.per_word)
        words = {
            "keys": code.times(keys, kind.words),
            "values": code.times(weights, kind.dim),
            "queries": kind.rows * kind.words,
            "scores": code.times(keys, kind.rows),
            "weights": code.times(weights, kind.rows),
            "greatest": kind.rows * kind.lanes,
            "shares": kind.rows * kind.lanes,
        }
        parts = code.parts(scratch, [code.times(size, _WORD_BYTES) for size in words.values()])
        return _Scratch(**dict(zip(words, parts, strict=True)))

    def _blocks(self, keys: Any) -> Any:
        block = self._kind.block
        return self._code.over(self._code.plus(keys, block - 1), block)

    # --- laying out; behind the last key, it is laid out again ---

    def _lay_out_keys(self, key: States, keys: Any, factors: Factors, parts: _Scratch) -> None:
        code, lanes, words = self._code, self._kind.lanes, self._kind.words
        last = code.minus(keys, 1)

        def one_vector(at: Any) -> None:
            tokens = [code.least(code.plus(at, lane), last) for lane in range(lanes)]
            rows = [key.words(token, factors.key) for token in tokens]
            base = code.at(parts.keys, code.times(at, words))
            vectors = [
                vector for square in zip(*rows, strict=True) for vector in code.transposed(square)
            ]
            for word, vector in enumerate(vectors):
                code.store_vector(vector, code.at(base, word * lanes))

        code.loop(code.times(self._blocks(keys), self._kind.block), one_vector, step=lanes)

    def _lay_out_values(self, value: States, keys: Any, factors: Factors, parts: _Scratch) -> None:
        code, lanes, per = self._code, self._kind.lanes, self._kind.per_word
        last = code.minus(keys, 1)

        def one_word(word: Any) -> None:
            vector, lane = code.over(word, lanes), code.rest(word, lanes)
            first = code.plus(code.times(vector, lanes * per), lane)
            tokens = [code.least(code.plus(first, part * lanes), last) for part in range(per)]
            base = code.at(parts.values, code.times(word, self._kind.dim))
            for column in range(0, self._kind.dim, lanes):
                numbers = [value.read(token, column) for token in tokens]
                words = word_of(code, self._kind, numbers, factors.value)
                code.store_vector(words, code.at(base, column))

        code.loop(self._value_words(keys), one_word)

    def _value_words(self, keys: Any) -> Any:
        """How many rows of words values take: keys, or pairs of keys one vector apart."""
        code, lanes = self._code, self._kind.lanes
        if self._kind.per_word == 1:
            return keys
        full, rest = code.over(keys, 2 * lanes), code.rest(keys, 2 * lanes)
        return code.plus(code.times(full, lanes), code.least(rest, lanes))

    def _lay_out_queries(
        self, query: States, tokens: Sequence[Any], factors: Factors, parts: _Scratch
    ) -> None:
        code, lanes = self._code, self._kind.lanes
        for i, token in enumerate(tokens):
            for part, vector in enumerate(query.words(token, factors.query)):
                where = code.at(parts.queries, i * self._kind.words + part * lanes)
                code.store(vector, where)

    # --- computing ---

    def _products(
        self,
        count: Any,
        left: Callable[[int, Any], Any],
        right: Callable[[int, Any], Any],
        columns: int,
    ) -> list[list[Any]]:
        """Products of ``kind.rows`` rows with columns of vectors.

        Args:
            count: How many words each of them has.
            left: Where a word of a row lies.
            right: Where the vectors of a word of a column lie.
            columns: How many vectors.

        Returns:
            For each row, a vector of float32 for each column.
        """
        code, levels = self._code, self._kind.multiplied is Numbers.LEVELS

        def one_word(at: Any, *sums: Any) -> list[Any]:
            vectors = [code.load_vector(right(c, at), code.words) for c in range(columns)]
            words = [
                code.broadcast(code.load(left(row, at), INT)) for row in range(self._kind.rows)
            ]
            pairs = [(vector, word) for word in words for vector in vectors]
            return [self._added(total, *pair) for total, pair in zip(sums, pairs, strict=True)]

        nothing = code.constant(0) if levels else code.constant(0.0)
        sums = code.loop(count, one_word, [nothing] * (self._kind.rows * columns))
        if levels:
            sums = [code.to.sitofp(total, code.floats) for total in sums]
        return [sums[row * columns : (row + 1) * columns] for row in range(self._kind.rows)]

    def _added(self, total: Any, one: Any, other: Any) -> Any:
        code, kind = self._code, self._kind
        if kind.multiplied is Numbers.HALVES:
            return code.add_pair_products(total, one, other)
        if kind.multiplied is Numbers.LEVELS:
            return code.add_level_products(total, one, other)
        return code.fma(code.as_floats(one), code.as_floats(other), total)

    def _score(self, keys: Any, parts: _Scratch) -> None:
        """Products of queries and keys; and for each query, the greatest that a lane has seen."""
        code, kind = self._code, self._kind
        numbers = code.constant(list(range(kind.lanes)))

        def one_block(block: Any, *greatest: Any) -> list[Any]:
            first = code.times(block, kind.block)
            base = code.at(parts.keys, code.times(first, kind.words))
            products = self._products(
                kind.words,
                lambda row, word: code.at(parts.queries, code.plus(row * kind.words, word)),
                lambda c, word: code.at(
                    base, code.plus(c * kind.lanes * kind.words, code.times(word, kind.lanes))
                ),
                COLUMNS,
            )
            results = list(greatest)
            for c in range(COLUMNS):
                left = code.to.trunc(code.minus(keys, code.plus(first, c * kind.lanes)), INT)
                there = code.to.icmp_signed("<", numbers, code.broadcast(left))
                for row in range(kind.rows):
                    scores = code.to.select(there, products[row][c], code.constant(_FAR_BELOW))
                    code.store_vector(scores, self._score_at(parts, block, row, c))
                    results[row] = code.greater(scores, results[row])
            return results

        seen = code.loop(self._blocks(keys), one_block, [code.constant(_FAR_BELOW)] * kind.rows)
        for row, vector in enumerate(seen):
            greatest = code.over_lanes(vector, code.greater)
            code.store_vector(greatest, code.at(parts.greatest, row * kind.lanes))

    def _score_at(self, parts: _Scratch, block: Any, row: int, column: int) -> Any:
        kind = self._kind
        at = self._code.times(block, kind.rows * kind.block)
        return self._code.at(
            self._code.at(parts.scores, at), row * kind.block + column * kind.lanes
        )

    def _weight_at(self, parts: _Scratch, word: Any, row: int) -> Any:
        """Where a word of a row of weights lies: with those of its block."""
        code, kind = self._code, self._kind
        words = kind.block // kind.per_word
        block, rest = code.over(word, words), code.rest(word, words)
        at = code.plus(code.times(block, kind.rows * words), rest)
        return code.at(code.at(parts.weights, at), row * words)

    def _weigh(self, keys: Any, factors: Factors, parts: _Scratch) -> None:
        """``2 ** (factor (score - greatest))``; and what makes a query's result of the sum."""
        code, kind = self._code, self._kind
        blocks, levels = self._blocks(keys), kind.multiplied is Numbers.LEVELS
        greatest = [
            code.load_vector(code.at(parts.greatest, row * kind.lanes), code.floats)
            for row in range(kind.rows)
        ]

        def one_block(block: Any, *sums: Any) -> list[Any]:
            results = []
            for row, total in enumerate(sums):
                powers = []
                for column in range(COLUMNS):
                    where = self._score_at(parts, block, row, column)
                    score = code.load_vector(where, code.floats)
                    # The greatest score's weight is exactly 1, however great it is.
                    exponent = code.to.fmul(code.to.fsub(score, greatest[row]), factors.score)
                    powers.append(code.power_of_two(exponent, _DEGREE[kind.per_word]))
                    if levels:
                        code.store_vector(powers[-1], where)
                    total = code.to.fadd(total, powers[-1])
                if not levels:
                    self._put_weights(parts, block, row, powers, None)
                results.append(total)
            return results

        sums = code.loop(blocks, one_block, [code.constant(0.0)] * kind.rows)
        totals = [code.over_lanes(total, code.to.fadd) for total in sums]
        if levels:
            totals = self._weigh_by_levels(blocks, totals, factors, parts)
        for row, total in enumerate(totals):
            share = code.to.fdiv(factors.result, total)
            code.store_vector(share, code.at(parts.shares, row * kind.lanes))

    def _weigh_by_levels(
        self, blocks: Any, totals: list[Any], factors: Factors, parts: _Scratch
    ) -> list[Any]:
        """Round weights that lie where the scores were; return what they add up to then."""
        code, kind = self._code, self._kind
        found = [factors.of_weights(code, total) for total in totals]
        ones = code.constant(0x10001)

        def one_block(block: Any, *sums: Any) -> list[Any]:
            results = []
            for row, total in enumerate(sums):
                powers = [
                    code.load_vector(self._score_at(parts, block, row, column), code.floats)
                    for column in range(COLUMNS)
                ]
                for words in self._put_weights(parts, block, row, powers, found[row]):
                    total = code.add_level_products(total, words, ones)
                results.append(total)
            return results

        sums = code.loop(blocks, one_block, [code.constant(0)] * kind.rows)
        wholes = [code.over_lanes(total, code.to.add) for total in sums]
        return [code.to.sitofp(total, code.floats) for total in wholes]

    def _put_weights(
        self, parts: _Scratch, block: Any, row: int, powers: list[Any], factor: Any
    ) -> list[Any]:
        """Write words of a row's weights for a block of keys; return them."""
        code, kind, per = self._code, self._kind, self._kind.per_word
        vectors = []
        for first in range(0, COLUMNS, per):
            vectors.append(word_of(code, kind, powers[first : first + per], factor))
            at = code.plus(code.times(block, kind.block // per), first * kind.lanes)
            code.store_vector(vectors[-1], self._weight_at(parts, at, row))
        return vectors

    def _sum_up(self, keys: Any, result: States, tokens: Sequence[Any], parts: _Scratch) -> None:
        """Sums of values by their weights."""
        code, lanes, dim = self._code, self._kind.lanes, self._kind.dim
        columns = COLUMNS if dim % (COLUMNS * lanes) == 0 else 1
        for first in range(0, dim, columns * lanes):

            def value(c: int, word: Any, first: int = first) -> Any:
                return code.at(parts.values, code.plus(code.times(word, dim), first + c * lanes))

            products = self._products(
                self._value_words(keys),
                lambda row, word: self._weight_at(parts, word, row),
                value,
                columns,
            )
            for row, (sums, token) in enumerate(zip(products, tokens, strict=True)):
                share = code.load_vector(code.at(parts.shares, row * lanes), code.floats)
                for c, vector in enumerate(sums):
                    result.write(code.to.fmul(vector, share), token, first + c * lanes)
