"""Levels for attention, in LLVM's instructions: whole numbers of 16 bits in the place of floats.

CPUs multiply pairs of them, and add both products to a sum of 32 bits, as fast as one pair of
float32. Sums must not overflow. That of a query and a key is at most the product of their norms, by
Cauchy and Schwarz, and so is each part of it: queries and keys are scaled by a bound of the norms
in their head and sequence, to 15 bits. That of weights and values is at most the sum of a query's
weights, by which these are scaled to 15 bits or, where many are large, to fewer, times the greatest
value, which gets 12.

The error of a score is 2e-5 of the product of both norms, that of a result some 1e-4 of the
greatest value: less than with bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rag_rerankers.engine.state_code import Numbers, States
from rag_rerankers.engine.vector_code import FLOAT, VectorCode

__all__ = ["Factors", "factors_of"]

_NORM = 32766.0
"""A level less than 16 bits hold: for the norm's own rounding."""
_WEIGHT, _VALUE = 32767.0, 4095.0
_WEIGHTS = 2**31 // 4096
"""What the levels of all weights of a query add up to at most."""
_LEAST_NORM, _LEAST_VALUE = 1e-6, 1e-30
"""The least bounds, as of nothing but zeros. Scores of shorter queries or keys hardly differ from
zero; and of still shorter ones the factor would make none of the score of a key that is not there.
"""


@dataclass(frozen=True, slots=True)
class Factors:
    """What numbers are multiplied with, vectors of float32; None where levels are not made.

    Attributes:
        query: Makes levels of queries.
        key: Makes levels of keys.
        value: Makes levels of values.
        weights: What weights' levels are to add up to at most.
        score: Makes exponents of products of queries and keys.
        result: Makes numbers of values' levels.
    """

    query: Any
    key: Any
    value: Any
    weights: Any
    score: Any
    result: Any

    def of_weights(self, code: VectorCode, total: Any) -> Any:
        """What makes levels of weights that add up to ``total``, which is in every lane."""
        factor = code.to.fdiv(self.weights, total)
        return code.lesser(factor, code.constant(_WEIGHT))


def factors_of(
    query: States, key: States, value: States, *, tokens: Any, keys: Any, factor: Any
) -> Factors:
    """The factors for a head of a sequence.

    Args:
        query: Its queries.
        key: Its keys.
        value: Its values.
        tokens: How many queries.
        keys: How many keys and values.
        factor: Makes powers of two of products in float32.
    """
    code = query.code
    if query.kind.multiplied is not Numbers.LEVELS:
        return Factors(None, None, None, None, factor, code.constant(1.0))
    query_bound, key_bound = _norm(query, tokens), _norm(key, keys)
    value_bound = _greatest(value, keys)
    levels = code.constant(_NORM)
    score = code.to.fmul(query_bound, code.to.fmul(key_bound, code.constant(_NORM**-2)))
    score = code.to.fmul(score, factor)
    result = code.to.fmul(value_bound, code.constant(1 / _VALUE))
    # Each may be rounded up by a half.
    weights = code.to.sitofp(code.minus(_WEIGHTS, keys), FLOAT)
    return Factors(
        query=code.to.fdiv(levels, query_bound),
        key=code.to.fdiv(levels, key_bound),
        value=code.to.fdiv(code.constant(_VALUE), value_bound),
        weights=code.broadcast(weights),
        score=score,
        # Nothing is added, unless a number is none: then no result is one.
        result=code.fma(score, code.constant(0.0), result),
    )


def _norm(states: States, tokens: Any) -> Any:
    """A bound of rows' norms: the norm of a row that is in each lane as great as any is there."""
    code = states.code

    def one_row(token: Any, greatest: Any, total: Any) -> list[Any]:
        own = code.constant(0.0)
        for vector in states.vectors(token):
            own = code.fma(vector, vector, own)
        return [code.greater(own, greatest), code.to.fadd(total, own)]

    greatest, total = code.loop(tokens, one_row, [code.constant(0.0)] * 2)
    norm = code.root(code.over_lanes(greatest, code.to.fadd))
    return _bound(states, norm, total, _LEAST_NORM)


def _greatest(states: States, tokens: Any) -> Any:
    """The greatest number's size."""
    code = states.code

    def one_row(token: Any, greatest: Any, total: Any) -> list[Any]:
        for vector in states.vectors(token):
            size = code.size(vector)
            greatest, total = code.greater(size, greatest), code.to.fadd(total, size)
        return [greatest, total]

    greatest, total = code.loop(tokens, one_row, [code.constant(0.0)] * 2)
    return _bound(states, code.over_lanes(greatest, code.greater), total, _LEAST_VALUE)


def _bound(states: States, found: Any, total: Any, least: float) -> Any:
    """At least the least, and none where a number is none: ``greater`` leaves those out."""
    code = states.code
    found = code.greater(found, code.constant(least))
    return code.fma(code.over_lanes(total, code.to.fadd), code.constant(0.0), found)
