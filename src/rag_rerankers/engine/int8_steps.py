"""What stands between int8 products, by machine code of our own.

torch takes a pass over memory for every step: scale, bias, residual, norm or GELU, the greatest
number, and three for rounding. Here a row goes through all of them while it is in the nearest
cache. Needs what :mod:`rag_rerankers.engine.attention_kernel` needs, and gives torch's numbers but
for rounding.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import gelu, layer_norm

from rag_rerankers.engine.linear import GELU_LOWEST, Int8Linear
from rag_rerankers.engine.machine_code import cpu_vectors, divide, machine_code, made_and_right
from rag_rerankers.once import OncePerKey

__all__ = ["Int8Steps", "Norm", "Rounded", "int8_steps"]

_ALONE = 2e6
"""Numbers of a call that is not worth a second thread: about half a millisecond."""


_SPARE = 16
"""Rows behind the last one."""


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """A layer norm's weights.

    Attributes:
        weight: Shape (width,).
        bias: Shape (width,).
        eps: What is added to the variance.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    @classmethod
    def of(cls, module: Any) -> Norm:
        """A module's."""
        return cls(module.weight.detach(), module.bias.detach(), float(module.eps))

    def float(self) -> Norm:
        """The same with weights in float32."""
        return Norm(self.weight.float(), self.bias.float(), self.eps)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """States of shape (tokens, width), each token's numbers on a scale of their own."""
        return layer_norm(states, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """States as levels of 8 bits.

    Attributes:
        levels: Shape (tokens, width), uint8.
        scale: Shape (tokens,), float32: what a level stands for.
    """

    levels: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def empty(cls, tokens: int, width: int) -> Rounded:
        """Memory for so many, and some behind them that a product may read."""
        levels = torch.empty(tokens + _SPARE, width, dtype=torch.uint8)
        return cls(levels[:tokens], torch.empty(tokens))

    def __getitem__(self, rows: Any) -> Rounded:
        """Some of the tokens."""
        return Rounded(self.levels[rows], self.scale[rows])


class Int8Steps:
    """The steps; states are float32, contiguous, and as wide as a multiple of ``lanes``.

    Args:
        lanes: Numbers of 32 bits in one of the CPU's vectors.

    Raises:
        RuntimeError: They cannot be made on this machine.
    """

    def __init__(self, lanes: int) -> None:
        from rag_rerankers.engine import int8_code as code

        def arguments(addresses: int, numbers: int, floats: int) -> tuple[Any, ...]:
            return (
                *[ctypes.c_void_p] * addresses,
                *[ctypes.c_int64] * numbers,
                *[ctypes.c_float] * floats,
            )

        kinds = {
            code.ROUND: arguments(3, 6, 0),
            code.RESCALE: arguments(4, 6, 0),
            code.GELU: arguments(6, 3, 1),
            code.NORM: arguments(9, 3, 1),
        }
        functions = machine_code(code.write_steps(lanes), kinds)
        self.lanes = lanes
        self._round = functions[code.ROUND]
        self._rescale = functions[code.RESCALE]
        self._gelu = functions[code.GELU]
        self._norm = functions[code.NORM]

    def round(self, states: torch.Tensor) -> Rounded:
        """States of shape (tokens, width) as levels around 128."""
        into = Rounded.empty(*states.shape)
        tensors = (states, into.levels, into.scale)
        width = states.shape[1]
        _over_rows(self._round, states.shape, lambda: tensors, width, width, 0)
        return into

    def multiply(
        self, part: Int8Linear, rounded: Rounded, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What the layer gives for the states, shape (tokens, out)."""
        product = part.product(rounded.levels)
        out = product if out is None else out
        tensors = (product, rounded.scale, part.bias, out)
        width = product.shape[1]
        _over_rows(self._rescale, product.shape, lambda: tensors, width, width, 0)
        return out

    def gelu(self, part: Int8Linear, rounded: Rounded) -> Rounded:
        """GELU of what the layer gives, as levels from its minimum on."""
        product = part.product(rounded.levels)
        into = Rounded.empty(*product.shape)

        def tensors() -> tuple[torch.Tensor, ...]:
            row = torch.empty(product.shape[1])
            return product, rounded.scale, part.bias, row, into.levels, into.scale

        _over_rows(self._gelu, product.shape, tensors, GELU_LOWEST)
        return into

    def norm(
        self,
        part: Int8Linear,
        rounded: Rounded,
        residual: torch.Tensor,
        norm: Norm,
        out: torch.Tensor,
        into: Rounded,
    ) -> None:
        """The norm of what the layer gives and the residual: into ``out``, and as levels."""
        product = part.product(rounded.levels)
        weights = (part.bias, residual, norm.weight, norm.bias)
        tensors = (product, rounded.scale, *weights, out, into.levels, into.scale)
        _over_rows(self._norm, product.shape, lambda: tensors, norm.eps)


def _over_rows(
    function: Callable[..., None],
    shape: tuple[int, ...],
    tensors: Callable[[], tuple[torch.Tensor, ...]],
    *numbers: float,
) -> None:
    """Call it for all rows, from as many threads as that is worth."""
    rows, width = shape

    def some_rows(first: int, stop: int) -> None:
        own = tensors()
        function(*(tensor.data_ptr() for tensor in own), first, stop, width, *numbers)

    if rows:
        divide(some_rows, rows, 1 if rows * width < _ALONE else torch.get_num_threads())


_made = OncePerKey[int, "Int8Steps | None"]()


def int8_steps(*widths: int) -> Int8Steps | None:
    """The steps for states of these widths, if they can be made, and are right."""
    lanes = cpu_vectors().lanes
    if not lanes or any(width % lanes for width in widths):
        return None
    return _made.get(lanes, lambda: _tried(lanes))


def _tried(lanes: int) -> Int8Steps | None:
    return made_and_right(
        lambda: Int8Steps(lanes), _right, "steps between int8 products are left to torch"
    )


def _right(steps: Int8Steps) -> bool:
    """Whether each step gives torch's numbers, for a few random ones."""
    generator = torch.Generator().manual_seed(0)
    width = 2 * steps.lanes
    states, residual, weight = (
        torch.randn(rows, width, generator=generator) for rows in (3, 3, width)
    )
    part = Int8Linear(weight, weight[0].clone())
    last = Int8Linear(weight.T, weight[1].clone(), GELU_LOWEST)
    norm = Norm(weight[2].clone(), weight[3].clone(), 1e-5)
    rounded = steps.round(states)
    wide = steps.gelu(part, rounded)
    got, into = torch.empty_like(states), Rounded.empty(*states.shape)
    steps.norm(last, wide, residual, norm, got, into)
    # The same levels for torch, or else one of them may be rounded the other way.
    symmetric, one_sided, last_symmetric = _read(rounded), _read(wide, GELU_LOWEST), _read(into)
    multiplied = part(symmetric)
    exact = (
        (steps.multiply(part, rounded), multiplied),
        (got, norm(last(one_sided) + residual)),
    )
    rough = ((symmetric, states), (one_sided, gelu(multiplied)), (last_symmetric, got))
    return all(
        float((one - other).norm() / other.norm()) <= tolerance  # False for NaN as well
        for pairs, tolerance in ((exact, 1e-5), (rough, 1e-2))
        for one, other in pairs
    )


def _read(rounded: Rounded, lowest: float | None = None) -> torch.Tensor:
    """What the levels stand for."""
    levels, scale = rounded.levels.float(), rounded.scale[:, None]
    return (levels - 128) * scale if lowest is None else levels * scale + lowest
