"""Layers in float32 by machine code of our own, from the first product to the last.

oneDNN and MKL multiply at nine tenths of what the CPU can do, and torch goes over memory for each
step in between; see :mod:`rag_rerankers.engine.float_code` for what is done here. Weights may be
bfloat16, which are half as large: they are multiplied as float32, at the same speed, and nothing
else is rounded.
"""

from __future__ import annotations

import ctypes

import torch
from torch.nn.functional import gelu

from rag_rerankers.engine.ending import Ending, at_a_line, over_rows
from rag_rerankers.engine.int8_steps import Norm
from rag_rerankers.engine.linear import FloatLinear
from rag_rerankers.engine.machine_code import cpu_vectors, machine_code, made_and_right
from rag_rerankers.once import OncePerKey

__all__ = ["FloatBlockLinear", "FloatBlocks", "float_blocks"]

_TRIED = 7
"""Rows with which it is tried whether the code is right."""
_TOLERANCE = 1e-5
"""Difference that is rounding, relative to the size of the numbers."""


class FloatBlocks:
    """The code for layers of two widths.

    Args:
        hidden: Numbers of a token's states.
        inner: Numbers of its wide states.
        lanes: Numbers of 32 bits in one of the CPU's vectors.
        halves: Whether weights are bfloat16, not float32.

    Raises:
        RuntimeError: It cannot be made on this machine.
    """

    def __init__(self, hidden: int, inner: int, lanes: int, *, halves: bool) -> None:
        from rag_rerankers.engine import float_code as code
        from rag_rerankers.engine.float_product_code import FloatKind

        self.hidden, self.inner, self.halves = hidden, inner, halves
        self._kinds = {width: FloatKind(width, lanes, halves) for width in (hidden, inner)}
        self.columns = self._kinds[hidden].columns
        address, number, factor = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        products = (*[address] * 5, *[number] * 3)
        functions = machine_code(
            code.write_float_blocks(self._kinds[hidden], self._kinds[inner]),
            {
                code.FINISH: (address, *[number] * 2, *[factor] * 2),
                **dict.fromkeys(map(code.multiply, self._kinds.values()), products),
            },
        )
        self._finish = functions[code.FINISH]
        self._multiply = {
            width: functions[code.multiply(kind)] for width, kind in self._kinds.items()
        }
        self._code = code

    def fits(self, inputs: int, outputs: int) -> bool:
        """Whether weights of this shape can be multiplied."""
        return inputs in self._multiply and outputs % self.columns == 0

    def linear(self, plain: FloatLinear) -> FloatBlockLinear:
        """A layer that this code multiplies; see :class:`FloatBlockLinear`."""
        return FloatBlockLinear(self, plain)

    def multiply(
        self, part: FloatBlockLinear, states: torch.Tensor, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What the layer gives for the states, shape (tokens, out), float32.

        Args:
            part: The layer.
            states: Shape (tokens, in), contiguous float32.
            out: Where the result goes; None for a new tensor.
        """
        tokens, outs, kind = len(states), part.out_features, self._kinds[part.in_features]
        out = torch.empty(tokens, outs) if out is None else out
        addresses = [tensor.data_ptr() for tensor in (states, *part.tensors.values(), out)]

        def some_rows(first: int, stop: int) -> None:
            scratch = _memory(self._code.multiply_bytes(kind, stop - first, outs))
            function = self._multiply[part.in_features]
            function(*addresses, scratch.data_ptr(), first, stop, outs)

        over_rows(some_rows, tokens, tokens * outs * part.in_features)
        return out

    def finish(
        self, ending: Ending, context: torch.Tensor, states: torch.Tensor, out: torch.Tensor
    ) -> None:
        """What comes behind a layer's attention.

        Args:
            ending: The layer's parts, which are of this code; norms' weights are float32.
            context: What attention gives, shape (tokens, hidden), contiguous float32.
            states: What the layer was given, likewise.
            out: Where the new states go, likewise; not the same memory.
        """
        known = {"context": context, "states": states, "out": out, **ending.tensors}
        kinds = (self._kinds[self.hidden], self._kinds[self.inner])

        def some_rows(first: int, stop: int) -> None:
            own = {**known, "scratch": _memory(self._code.finish_bytes(*kinds, stop - first))}
            addresses = [own[name].data_ptr() for name in self._code.ADDRESSES]
            table = (ctypes.c_void_p * len(addresses))(*addresses)
            self._finish(table, first, stop, ending.attention_norm.eps, ending.norm.eps)

        work = len(context) * self.hidden * (self.hidden + 2 * self.inner)
        over_rows(some_rows, len(context), work)


class FloatBlockLinear:
    """A product of float32 by code of our own.

    Args:
        blocks: The code.
        plain: What to make it of; its weights are copied.

    Attributes:
        in_features: Numbers of a row that is multiplied.
        out_features: Numbers that come out.
        tensors: Weights in the order in which they are read, and bias, float32. Weights of a
            stretch of inputs lie together, in panels of columns, input after input; bfloat16 two
            inputs at a time.

    Raises:
        ValueError: There is no code for weights of this shape or dtype.
    """

    def __init__(self, blocks: FloatBlocks, plain: FloatLinear) -> None:
        weight = plain.weight
        self.out_features, self.in_features = weight.shape
        wanted = torch.bfloat16 if blocks.halves else torch.float32
        if not blocks.fits(self.in_features, self.out_features) or weight.dtype != wanted:
            raise ValueError(f"weights of shape {tuple(weight.shape)}, {weight.dtype}: no code")
        self._blocks = blocks
        bias = torch.zeros(self.out_features)
        if plain.bias is not None:
            bias.copy_(plain.bias)
        self.tensors = {"weights": _laid_out(weight, blocks.columns), "bias": bias}

    def __call__(
        self, states: torch.Tensor, *, spend: bool = False, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`rag_rerankers.engine.linear.Linear`; the result is float32."""
        return self._blocks.multiply(self, states.float().contiguous(), out)


def _laid_out(weight: torch.Tensor, columns: int) -> torch.Tensor:
    """Weights of shape (out, in) in the order of :class:`FloatBlockLinear`, flat."""
    from rag_rerankers.engine.float_product_code import STRETCH

    together = 4 // weight.element_size()
    stretches = [
        stretch.reshape(len(weight) // columns, columns, -1, together).transpose(1, 2).flatten()
        for stretch in weight.split(STRETCH, dim=1)
    ]
    return at_a_line(torch.cat(stretches))


def _memory(size: int) -> torch.Tensor:
    return torch.empty(size, dtype=torch.uint8)


_made = OncePerKey["tuple[int, int, int, bool]", "FloatBlocks | None"]()


def float_blocks(hidden: int, inner: int, dtype: torch.dtype) -> FloatBlocks | None:
    """The code for layers of these widths and weights, if it can be made, is right, and pays.

    For bfloat16 it does not pay where the CPU multiplies that faster than float32.
    """
    vectors = cpu_vectors()
    if not vectors.lanes or dtype not in (torch.float32, torch.bfloat16):
        return None
    halves = dtype == torch.bfloat16
    if halves and (vectors.halves or vectors.tiles):
        return None
    if hidden % (2 * vectors.lanes) or inner % (2 * vectors.lanes):
        return None
    asked = (hidden, inner, vectors.lanes, halves)
    return _made.get(asked, lambda: _tried(*asked))


def _tried(hidden: int, inner: int, lanes: int, halves: int) -> FloatBlocks | None:
    return made_and_right(
        lambda: FloatBlocks(hidden, inner, lanes, halves=bool(halves)),
        _right,
        "float products are left to torch",
    )


def _right(blocks: FloatBlocks) -> bool:
    """Whether a layer of random weights, and its first product, are as by torch."""
    generator = torch.Generator().manual_seed(0)
    dtype = torch.bfloat16 if blocks.halves else torch.float32

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def part(outs: int, ins: int) -> FloatLinear:
        return FloatLinear((random(outs, ins) / ins**0.5).to(dtype), random(outs).to(dtype))

    hidden, inner = blocks.hidden, blocks.inner
    first, attended, widen, narrow = (
        part(*shape)
        for shape in ((3 * hidden, hidden), (hidden, hidden), (inner, hidden), (hidden, inner))
    )
    attention_norm, norm = (Norm(random(hidden), random(hidden), 1e-5) for _ in range(2))
    own = [blocks.linear(plain) for plain in (attended, widen, narrow)]
    context, states, out = (random(_TRIED, hidden) for _ in range(3))
    blocks.finish(Ending(own[0], attention_norm, own[1], own[2], norm), context, states, out)

    half = attention_norm(_by_torch(attended, context) + states)
    wanted = norm(_by_torch(narrow, gelu(_by_torch(widen, half))) + half)
    pairs = ((blocks.linear(first)(states), _by_torch(first, states)), (out, wanted))
    return all(
        float((one - other).norm() / other.norm()) <= _TOLERANCE  # False for NaN as well
        for one, other in pairs
    )


def _by_torch(part: FloatLinear, states: torch.Tensor) -> torch.Tensor:
    assert part.bias is not None
    return states @ part.weight.float().T + part.bias.float()
