"""What a layer of BERT's family does around its attention: by torch, or by code of our own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from rag_rerankers.engine.ending import Ending
from rag_rerankers.engine.float_blocks import FloatBlockLinear, FloatBlocks
from rag_rerankers.engine.int8_blocks import Int8BlockLinear, Int8Blocks
from rag_rerankers.engine.int8_steps import Int8Steps, Norm, Rounded
from rag_rerankers.engine.linear import Int8Linear, Linear

__all__ = [
    "FloatBlockWork",
    "Int8BlockWork",
    "Int8Work",
    "Layer",
    "States",
    "TorchWork",
    "Work",
    "blocks",
]

_ROWS, _STEP = 768, 32
"""Tokens that are multiplied together on a CPU at most, and of what number they are a multiple."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer's parts, in the order of their use.

    Attributes:
        query: Makes queries; None where they come out of ``rest`` as well.
        rest: Makes keys and values.
        attended: Goes over what attention gives.
        attention_norm: Behind it.
        widen: Makes wide states.
        activation: Goes over them; may write over its argument.
        narrow: Makes states of them again.
        norm: Behind it.
    """

    query: Linear | None
    rest: Linear
    attended: Linear
    attention_norm: Norm
    widen: Linear
    activation: Callable[[torch.Tensor], torch.Tensor]
    narrow: Linear
    norm: Norm


class States(NamedTuple):
    """What goes from layer to layer.

    Attributes:
        numbers: Shape (tokens, width).
        rounded: The same for the next product, where that is in int8 by steps of our own.
    """

    numbers: torch.Tensor
    rounded: Rounded | None = None


class Work(Protocol):
    """A way to do what is not attention."""

    def begin(self, numbers: torch.Tensor) -> States:
        """States to begin with."""
        ...

    @property
    def takes_memory(self) -> bool:
        """Whether products can be written to memory that is there."""
        ...

    def multiply(
        self, part: Linear, states: States, dim: int, memory: torch.Tensor | None = None
    ) -> torch.Tensor:
        """A product, shape (tokens, out / dim, dim).

        Args:
            part: What multiplies.
            states: What is multiplied.
            dim: Numbers of a head.
            memory: Where the product goes, shape (tokens * out,), float32; None for new memory.
        """
        ...

    def finish(self, layer: Layer, context: torch.Tensor, states: States) -> States:
        """What comes behind the attention; ``context`` is of shape (tokens, heads, dim)."""
        ...


class TorchWork:
    """By torch's operators, in any dtype, on any device."""

    takes_memory = False

    def begin(self, numbers: torch.Tensor) -> States:
        """See :class:`Work`."""
        return States(numbers)

    def multiply(
        self, part: Linear, states: States, dim: int, memory: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Work`."""
        numbers = states.numbers
        rows_of_blocks = blocks(numbers)
        if len(rows_of_blocks) == 1:
            return _by_heads(part(numbers), dim)
        out = numbers.new_empty(len(numbers), part.out_features)
        for rows in rows_of_blocks:
            part(numbers[rows], out=out[rows])
        return _by_heads(out, dim)

    def finish(self, layer: Layer, context: torch.Tensor, states: States) -> States:
        """See :class:`Work`."""
        context, numbers = context.flatten(1), states.numbers
        rows_of_blocks = blocks(numbers)
        if len(rows_of_blocks) == 1:
            return States(_finish_block(layer, context, numbers))
        out = torch.empty_like(numbers)
        for rows in rows_of_blocks:
            out[rows] = _finish_block(layer, context[rows], numbers[rows])
        return States(out)


def _by_heads(states: torch.Tensor, dim: int) -> torch.Tensor:
    return states.view(len(states), states.shape[1] // dim, dim)


def _finish_block(layer: Layer, context: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    states = layer.attention_norm(layer.attended(context).add_(states))
    wide = layer.activation(layer.widen(states))
    return layer.norm(layer.narrow(wide, spend=True).add_(states))


class Int8BlockWork:
    """By machine code alone, in int8; the parts are its own, the activation is GELU.

    Args:
        blocks: That code.
    """

    takes_memory = True

    def __init__(self, blocks: Int8Blocks) -> None:
        self._blocks = blocks

    def begin(self, numbers: torch.Tensor) -> States:
        """See :class:`Work`."""
        numbers = numbers.contiguous()
        return States(numbers, self._blocks.round(numbers))

    def multiply(
        self, part: Linear, states: States, dim: int, memory: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Work`."""
        assert isinstance(part, Int8BlockLinear)
        assert states.rounded is not None
        if memory is None:
            memory = torch.empty(len(states.numbers) * part.out_features)
        out = self._blocks.heads_apart(memory, part.out_features // dim, dim)
        return self._blocks.multiply(part, states.rounded, out)

    def finish(self, layer: Layer, context: torch.Tensor, states: States) -> States:
        """See :class:`Work`."""
        attended, widen, narrow = layer.attended, layer.widen, layer.narrow
        assert isinstance(attended, Int8BlockLinear)
        assert isinstance(widen, Int8BlockLinear)
        assert isinstance(narrow, Int8BlockLinear)
        out, into = torch.empty_like(states.numbers), Rounded.empty(*states.numbers.shape)
        ending = Ending(attended, layer.attention_norm, widen, narrow, layer.norm)
        self._blocks.finish(ending, context, states.numbers, out, into)
        return States(out, into)


class FloatBlockWork:
    """By machine code alone, in float32; the parts are its own, the activation is GELU.

    Args:
        blocks: That code.
    """

    takes_memory = True

    def __init__(self, blocks: FloatBlocks) -> None:
        self._blocks = blocks

    def begin(self, numbers: torch.Tensor) -> States:
        """See :class:`Work`."""
        return States(numbers.float().contiguous())

    def multiply(
        self, part: Linear, states: States, dim: int, memory: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Work`."""
        assert isinstance(part, FloatBlockLinear)
        out = None if memory is None else memory.view(-1, part.out_features)
        return _by_heads(self._blocks.multiply(part, states.numbers, out), dim)

    def finish(self, layer: Layer, context: torch.Tensor, states: States) -> States:
        """See :class:`Work`."""
        attended, widen, narrow = layer.attended, layer.widen, layer.narrow
        assert isinstance(attended, FloatBlockLinear)
        assert isinstance(widen, FloatBlockLinear)
        assert isinstance(narrow, FloatBlockLinear)
        norms = (layer.attention_norm.float(), layer.norm.float())
        ending = Ending(attended, norms[0], widen, narrow, norms[1])
        out = torch.empty_like(states.numbers)
        self._blocks.finish(ending, context.flatten(1), states.numbers, out)
        return States(out)


class Int8Work:
    """By machine code between products in int8 by oneDNN; the activation is GELU.

    Args:
        steps: That code.
    """

    takes_memory = False

    def __init__(self, steps: Int8Steps) -> None:
        self._steps = steps

    def begin(self, numbers: torch.Tensor) -> States:
        """See :class:`Work`."""
        numbers = numbers.contiguous()
        return States(numbers, self._steps.round(numbers))

    def multiply(
        self, part: Linear, states: States, dim: int, memory: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Work`."""
        assert isinstance(part, Int8Linear)
        assert states.rounded is not None
        out = states.numbers.new_empty(len(states.numbers), part.out_features)
        for rows in blocks(states.numbers):
            self._steps.multiply(part, states.rounded[rows], out[rows])
        return _by_heads(out, dim)

    def finish(self, layer: Layer, context: torch.Tensor, states: States) -> States:
        """See :class:`Work`."""
        context = context.flatten(1)
        out, into = torch.empty_like(states.numbers), Rounded.empty(*states.numbers.shape)
        for rows in blocks(states.numbers):
            self._finish_block(layer, context[rows], states.numbers[rows], out[rows], into[rows])
        return States(out, into)

    def _finish_block(
        self,
        layer: Layer,
        context: torch.Tensor,
        states: torch.Tensor,
        out: torch.Tensor,
        into: Rounded,
    ) -> None:
        steps, parts = self._steps, (layer.attended, layer.widen, layer.narrow)
        attended, widen, narrow = (part for part in parts if isinstance(part, Int8Linear))
        # The second norm's states and levels go where the first one's were.
        steps.norm(attended, steps.round(context), states, layer.attention_norm, out, into)
        steps.norm(narrow, steps.gelu(widen, into), out, layer.norm, out, into)


def blocks(states: torch.Tensor) -> list[slice]:
    """Tokens that are multiplied together: on a CPU a few hundred, about as many in each block.

    Their wide states stay in the cache, in memory that is there already. And oneDNN keeps a
    program, hundreds of kilobytes, for each number of rows that it has seen: few are to recur.
    """
    tokens = len(states)
    if states.device.type != "cpu" or tokens <= _ROWS:
        return [slice(0, tokens)]
    count = -(-tokens // _ROWS)
    rows = -(-tokens // (count * _STEP)) * _STEP
    return [slice(first, first + rows) for first in range(0, tokens, rows)]
