"""Layers in int8 by machine code of our own, from the first product to the last.

Beside :mod:`rag_rerankers.engine.int8_steps`, which works between products by oneDNN, here the
products are our own as well. They are as fast, and take the few rows at a time with which states
stay in the cache. Not where the CPU has AMX: oneDNN's products are much faster there.
"""

from __future__ import annotations

import ctypes
import math

import torch
from torch.nn.functional import gelu

from rag_rerankers.engine.ending import Ending, at_a_line, over_rows
from rag_rerankers.engine.int8_steps import Norm, Rounded
from rag_rerankers.engine.linear import GELU_LOWEST, int8_levels, round_weight, to_levels
from rag_rerankers.engine.machine_code import cpu_vectors, machine_code, made_and_right
from rag_rerankers.once import OncePerKey

__all__ = ["Int8BlockLinear", "Int8Blocks", "int8_blocks"]

_TRIED = 7
"""Rows with which it is tried whether the code is right."""


class Int8Blocks:
    """The code for layers of two widths.

    Args:
        hidden: Numbers of a token's states.
        inner: Numbers of its wide states; at least as many.
        lanes: Numbers of 32 bits in one of the CPU's vectors.
        at_once: Whether it multiplies by VNNI.

    Raises:
        RuntimeError: It cannot be made on this machine.
    """

    def __init__(self, hidden: int, inner: int, lanes: int, *, at_once: bool) -> None:
        from rag_rerankers.engine import block_code as code
        from rag_rerankers.engine.int8_code import ROUND
        from rag_rerankers.engine.product_code import ProductKind

        self.hidden, self.inner = hidden, inner
        kinds = {width: ProductKind(width, lanes, at_once) for width in (hidden, inner)}
        self.columns, self._lanes = kinds[hidden].columns, lanes
        address, number, factor = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        functions = machine_code(
            code.write_blocks(kinds[hidden], kinds[inner]),
            {
                ROUND: (*[address] * 3, *[number] * 6),
                code.FINISH: (address, *[number] * 5, *[factor] * 3),
                **dict.fromkeys(
                    map(code.multiply, kinds.values()), (*[address] * 8, *[number] * 6)
                ),
            },
        )
        self._round = functions[ROUND]
        self._finish = functions[code.FINISH]
        self._multiply = {width: functions[code.multiply(kind)] for width, kind in kinds.items()}
        self._multiply_bytes = code.multiply_bytes
        self._finish_bytes = code.finish_bytes(hidden, inner)
        self._addresses = code.ADDRESSES

    def fits(self, inputs: int, outputs: int) -> bool:
        """Whether weights of this shape can be multiplied."""
        return inputs in self._multiply and outputs % self.columns == 0

    def linear(
        self, weight: torch.Tensor, bias: torch.Tensor | None, lowest: float | None = None
    ) -> Int8BlockLinear:
        """A layer that this code multiplies; see :class:`Int8BlockLinear`."""
        return Int8BlockLinear(self, weight, bias, lowest)

    def round(self, states: torch.Tensor) -> Rounded:
        """States of shape (tokens, width), contiguous float32, as levels around 128."""
        into, width = Rounded.empty(*states.shape), states.shape[1]
        addresses = [tensor.data_ptr() for tensor in (states, into.levels, into.scale)]
        over_rows(
            lambda first, stop: self._round(*addresses, first, stop, width, *_place(states)),
            len(states),
            20 * states.numel(),
        )
        return into

    def multiply(
        self, part: Int8BlockLinear, rounded: Rounded, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What the layer gives for the states, shape (tokens, out), float32.

        Args:
            part: The layer.
            rounded: Shape (tokens, in).
            out: Where the result goes: of that shape, contiguous, or as from :meth:`heads_apart`.
                None for a new tensor.
        """
        tokens, outs = len(rounded.levels), part.out_features
        out = torch.empty(tokens, outs) if out is None else out
        tensors = (rounded.levels, rounded.scale, *part.tensors.values(), out)
        addresses = [tensor.data_ptr() for tensor in tensors]
        function, scratch_bytes = self._multiply[part.in_features], self._multiply_bytes(outs)
        whole = out.is_contiguous()
        place = (outs, self.columns, self.columns) if whole else _place(out)

        def some_rows(first: int, stop: int) -> None:
            scratch = torch.empty(scratch_bytes, dtype=torch.uint8)
            function(*addresses, scratch.data_ptr(), first, stop, outs, *place)

        over_rows(some_rows, tokens, tokens * outs * part.in_features)
        return out

    def heads_apart(self, memory: torch.Tensor, heads: int, dim: int) -> torch.Tensor:
        """Memory as states of shape (tokens, heads, dim).

        All that attention reads for a head lies together, if heads are whole vectors.
        """
        if dim % self._lanes:
            return memory.view(-1, heads, dim)
        return memory.view(heads, -1, dim).transpose(0, 1)

    def finish(
        self,
        ending: Ending,
        context: torch.Tensor,
        states: torch.Tensor,
        out: torch.Tensor,
        into: Rounded,
    ) -> None:
        """What comes behind a layer's attention.

        Args:
            ending: The layer's parts.
            context: What attention gives, shape (tokens, hidden), contiguous float32, or as from
                :meth:`heads_apart`.
            states: What the layer was given, shape (tokens, hidden), contiguous float32.
            out: Where the new states go, likewise.
            into: Where the same go as levels.
        """
        known = {
            "context": context,
            "states": states,
            "out": out,
            "levels": into.levels,
            "scales": into.scale,
            **ending.tensors,
        }
        norms = (ending.attention_norm, ending.norm)

        def some_rows(first: int, stop: int) -> None:
            scratch = torch.empty(self._finish_bytes, dtype=torch.uint8)
            own = {**known, "scratch": scratch}
            addresses = [own[name].data_ptr() for name in self._addresses]
            table = (ctypes.c_void_p * len(addresses))(*addresses)
            place = _place(context)
            self._finish(table, first, stop, *place, GELU_LOWEST, *(norm.eps for norm in norms))

        work = len(context) * self.hidden * (self.hidden + 2 * self.inner)
        over_rows(some_rows, len(context), work)


def _place(states: torch.Tensor) -> tuple[int, int, int]:
    """How far rows are apart, how many numbers lie together, how far apart such pieces are."""
    if states.is_contiguous():
        width = math.prod(states.shape[1:])
        return width, width, 0
    return states.stride(0), states.shape[2], states.stride(1)


class Int8BlockLinear:
    """An int8 product as :class:`rag_rerankers.engine.linear.Int8Linear` is, by code of our own.

    Args:
        blocks: The code.
        weight: Shape (out, in), float.
        bias: Shape (out,), float, or None.
        lowest: As for ``Int8Linear``.

    Attributes:
        in_features: Numbers of a row that is multiplied.
        out_features: Numbers that come out.
        tensors: Weights in the order in which they are read, their scales, what levels' zero adds
            to a sum, and bias.
    """

    def __init__(
        self,
        blocks: Int8Blocks,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        lowest: float | None = None,
    ) -> None:
        rounded, scale = round_weight(weight)
        self.out_features, self.in_features = rounded.shape
        if not blocks.fits(self.in_features, self.out_features):
            raise ValueError(f"weights of shape {tuple(weight.shape)}: no code for these")
        self._blocks, self._lowest = blocks, lowest
        sums = rounded.sum(dim=1, dtype=torch.int32)
        added = torch.zeros(self.out_features) if bias is None else bias.float().clone()
        if lowest is None:
            zeros = sums.mul_(-128)
        else:
            added += lowest * scale * sums.float()
            zeros = torch.zeros_like(sums)
        self.tensors = {
            "weights": _in_panels(rounded, blocks.columns),
            "scales": scale,
            "numbers": zeros,
            "bias": added,
        }

    def __call__(
        self, states: torch.Tensor, *, spend: bool = False, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`rag_rerankers.engine.linear.Linear`; the result is float32."""
        levels, scale = to_levels(states.float(), self._lowest)
        rounded = Rounded.empty(*states.shape)
        rounded.levels.copy_(levels)
        rounded.scale.copy_(scale[:, 0])
        return self._blocks.multiply(self, rounded, out)


def _in_panels(weight: torch.Tensor, columns: int) -> torch.Tensor:
    """Weights of shape (out, in) as (out / columns, in / 4, columns, 4), at a cache line."""
    outs, ins = weight.shape
    return at_a_line(weight.view(outs // columns, columns, ins // 4, 4).transpose(1, 2))


_made = OncePerKey["tuple[int, int, int, bool]", "Int8Blocks | None"]()


def int8_blocks(hidden: int, inner: int) -> Int8Blocks | None:
    """The code for layers of these widths, if it can be made, is right, and is the fastest."""
    vectors = cpu_vectors()
    if not vectors.lanes or vectors.tiles or inner < hidden:
        return None
    if hidden % (2 * vectors.lanes) or inner % (2 * vectors.lanes):
        return None
    if int8_levels() > 63 and not vectors.bytes:
        return None
    asked = (hidden, inner, vectors.lanes, vectors.bytes)
    return _made.get(asked, lambda: _tried(*asked))


def _tried(hidden: int, inner: int, lanes: int, at_once: int) -> Int8Blocks | None:
    return made_and_right(
        lambda: Int8Blocks(hidden, inner, lanes, at_once=bool(at_once)),
        _right,
        "products in int8 are left to oneDNN",
    )


def _right(blocks: Int8Blocks) -> bool:
    """Whether products are exact, and a layer of random weights ends as by torch."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    hidden, inner = blocks.hidden, blocks.inner
    weights = [
        random(*shape) / shape[1] ** 0.5
        for shape in ((hidden, hidden), (inner, hidden), (hidden, inner))
    ]
    attended, widen, narrow = (
        blocks.linear(weight, random(len(weight)), lowest)
        for weight, lowest in zip(weights, (None, None, GELU_LOWEST), strict=True)
    )
    attention_norm, norm = (Norm(random(hidden), random(hidden), 1e-5) for _ in range(2))
    ending = Ending(attended, attention_norm, widen, narrow, norm)
    context, states, out = (random(_TRIED, hidden) for _ in range(3))
    into = Rounded.empty(_TRIED, hidden)
    blocks.finish(ending, context, states, out, into)
    half = attention_norm(attended(context) + states)
    wide = gelu(widen(half))
    wanted = norm(narrow(wide) + half)
    exact = [
        (part(given), _by_torch(weight, part.tensors["bias"], given, lowest))
        for part, weight, given, lowest in (
            (attended, weights[0], context, None),
            (narrow, weights[2], wide, GELU_LOWEST),
        )
    ]
    # A level here and there may have been rounded the other way.
    levels, scale = to_levels(out.clone())
    pairs_of_levels = (
        (into.levels.float() - 128) * into.scale[:, None],
        (levels.float() - 128) * scale,
    )
    rough = [(out, wanted), pairs_of_levels]
    return all(
        float((one - other).norm() / other.norm()) <= tolerance  # False for NaN as well
        for pairs, tolerance in ((exact, 1e-5), (rough, 1e-2))
        for one, other in pairs
    )


def _by_torch(
    weight: torch.Tensor, bias: torch.Tensor, states: torch.Tensor, lowest: float | None
) -> torch.Tensor:
    """What :class:`Int8BlockLinear` gives."""
    levels, scale = to_levels(states.clone(), lowest)
    weights, weight_scale = round_weight(weight)
    sums = (levels.double() - (128 if lowest is None else 0)) @ weights.double().T
    return (sums * scale * weight_scale + bias).float()
