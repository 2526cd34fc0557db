"""BERT's family with fewer and larger steps than its own code takes.

BERT, RoBERTa, XLM-R, CamemBERT and ELECTRA name their parts alike: the weights are taken out and
run as one loop over packed rows, where query, key and value are one product and sums happen in
place. Whether a model really is built like that is not read off its name: the probe compares the
numbers, see :func:`rag_rerankers.engine.probe.choose_runner`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.functional import gelu, layer_norm, pad
from transformers import PreTrainedModel

from rag_rerankers.engine.attention import PackedLayout, attend
from rag_rerankers.engine.linear import FloatLinear, Int8Linear, Linear, PackedLinear

__all__ = ["FusedEncoder"]

_ROWS, _STEP = 768, 32
"""Tokens that are multiplied together on a CPU at most, and of what number they are a multiple."""
_FIRSTS = 8
"""Of what number the first tokens that are multiplied together are a multiple."""

_GELU_LOWEST = -0.17
"""GELU's minimum is -0.16997."""


@dataclass(frozen=True, slots=True, eq=False)
class _Norm:
    """A layer norm's weights."""

    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    @classmethod
    def of(cls, module: Any) -> _Norm:
        return cls(module.weight.detach(), module.bias.detach(), float(module.eps))

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        return layer_norm(states, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """One layer's parts, in the order of their use.

    Attributes:
        query: Makes queries; None where they come out of ``rest`` as well.
        rest: Makes keys and values.
    """

    query: Linear | None
    rest: Linear
    attended: Linear
    attention_norm: _Norm
    widen: Linear
    activation: Callable[[torch.Tensor], torch.Tensor]
    narrow: Linear
    norm: _Norm


class FusedEncoder:
    """Runs the embeddings and layers of a model over packed rows.

    Args:
        model: A model of BERT's family, on its device, in its dtype. Its query, key and value
            weights become views of one tensor; it goes on working.
        int8: Multiply in int8. The model's own weights are left alone until :meth:`release`.

    Raises:
        AttributeError, TypeError: The model is not built like that.
    """

    def __init__(self, model: PreTrainedModel, *, int8: bool = False) -> None:
        body: Any = model.base_model
        if hasattr(body, "embeddings_project") or body.encoder.layer is None:
            raise AttributeError(f"{type(body).__name__} has steps between embeddings and layers")
        self._body = body
        self._embeddings: Any = body.embeddings
        kind = Int8Linear if int8 else FloatLinear
        *others, last = body.encoder.layer
        self._layers = [_read(layer, kind) for layer in others]
        self._last = _read(last, kind, apart=True)
        attention = body.encoder.layer[0].attention.self
        self._heads = int(attention.num_attention_heads)
        self._int8 = int8

    def __call__(
        self,
        layout: PackedLayout,
        input_ids: torch.Tensor,
        *,
        firsts: bool = False,
        **inputs: torch.Tensor,
    ) -> torch.Tensor:
        """Last hidden states, shape (tokens, width).

        Args:
            layout: Where the sequences lie.
            firsts: Only the first token's of each sequence, shape (sequences, width): nothing but
                keys and values of the others is computed in the last layer.
            input_ids: Shape (1, tokens).
            **inputs: What else the embeddings take: position ids, segment ids.
        """
        states: torch.Tensor = self._embeddings(input_ids=input_ids, **inputs)[0]
        for layer in self._layers:
            query, key, value = self._parts(_multiply(layer.rest, states), 3)
            states = _finish(layer, self._attend(query, key, value, layout), states)
        last = self._last
        assert last.query is not None
        key, value = self._parts(_multiply(last.rest, states), 2)
        if not firsts:
            (query,) = self._parts(_multiply(last.query, states), 1)
            return _finish(last, self._attend(query, key, value, layout), states)
        asked = layout.starts[:-1].long()
        count, more = len(asked), -len(asked) % _FIRSTS
        asking = states[pad(asked, (0, more))]
        (query,) = self._parts(last.query(asking), 1)
        context = self._attend(query[:count], key, value, layout, firsts=True)
        return _finish(last, pad(context, (0, 0, 0, 0, 0, more)), asking)[:count]

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: PackedLayout,
        *,
        firsts: bool = False,
    ) -> torch.Tensor:
        # Where products are rounded to 8 bits, 16 are enough in between.
        return attend(query, key, value, layout=layout, firsts=firsts, halves=self._int8)

    def _parts(self, states: torch.Tensor, number: int) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values side by side, to as many of shape (tokens, heads, dim)."""
        parts: tuple[torch.Tensor, ...] = states.unflatten(1, (number, self._heads, -1)).unbind(1)
        return parts

    def pack(self) -> None:
        """Lay the weights out for the CPU, layer by layer; the model's own are freed."""
        layers = zip([*self._layers, self._last], self._body.encoder.layer, strict=True)
        *self._layers, self._last = [_packed(layer, module) for layer, module in layers]

    def release(self) -> None:
        """Free the model's own weights of the layers: they are not needed beside int8 ones."""
        _free(self._body.encoder)


def _packed(layer: _Layer, module: torch.nn.Module) -> _Layer:
    """The same layer with its float products laid out for the CPU; the module's are freed."""
    _free(module)
    return replace(
        layer,
        query=None if layer.query is None else _laid_out(layer.query),
        rest=_laid_out(layer.rest),
        attended=_laid_out(layer.attended),
        widen=_laid_out(layer.widen),
        narrow=_laid_out(layer.narrow),
    )


def _laid_out(part: Linear) -> Linear:
    return PackedLinear(part) if isinstance(part, FloatLinear) else part


def _free(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        parameter.data = parameter.data.new_empty(0)


def _multiply(part: Linear, states: torch.Tensor) -> torch.Tensor:
    """A product, block by block."""
    blocks = _blocks(states)
    if len(blocks) == 1:
        return part(states)
    out = states.new_empty(len(states), part.out_features)
    for rows in blocks:
        part(states[rows], out=out[rows])
    return out


def _finish(layer: _Layer, context: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """What comes behind the attention, block by block."""
    blocks = _blocks(states)
    if len(blocks) == 1:
        return _finish_block(layer, context, states)
    out = torch.empty_like(states)
    for rows in blocks:
        out[rows] = _finish_block(layer, context[rows], states[rows])
    return out


def _finish_block(layer: _Layer, context: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    states = layer.attention_norm(layer.attended(context.flatten(1)).add_(states))
    wide = layer.activation(layer.widen(states))
    return layer.norm(layer.narrow(wide, spend=True).add_(states))


def _blocks(states: torch.Tensor) -> list[slice]:
    """Tokens that are multiplied together: on a CPU a few hundred, about as many in each block.

    Their wide states stay in the cache, in memory that is there already. And oneDNN keeps a
    program, hundreds of kilobytes, for each number of rows that it has seen: few are to recur.
    """
    tokens = len(states)
    if states.device.type != "cpu" or tokens <= _ROWS:
        return [slice(0, tokens)]
    blocks = -(-tokens // _ROWS)
    rows = -(-tokens // (blocks * _STEP)) * _STEP
    return [slice(first, first + rows) for first in range(0, tokens, rows)]


def _read(layer: Any, kind: type[FloatLinear] | type[Int8Linear], *, apart: bool = False) -> _Layer:
    own = layer.attention.self
    parts = (own.query, own.key, own.value)
    weight = torch.cat([part.weight.detach() for part in parts])
    bias = torch.cat([part.bias.detach() for part in parts])
    if kind is FloatLinear:
        # One copy in memory: the model's own layers become views of the joined tensor.
        for part, rows in zip(parts, weight.chunk(3), strict=True):
            part.weight.data = rows
    activation = layer.intermediate.intermediate_act_fn
    exact = isinstance(activation, torch.nn.Module) and _is_gelu(activation)
    lowest = _GELU_LOWEST if exact else None
    width = len(own.query.weight) if apart else 0
    return _Layer(
        query=kind(weight[:width], bias[:width]) if apart else None,
        rest=kind(weight[width:], bias[width:]),
        attended=_linear(layer.attention.output.dense, kind),
        attention_norm=_Norm.of(layer.attention.output.LayerNorm),
        widen=_linear(layer.intermediate.dense, kind),
        activation=_gelu_in_place if exact else activation,
        narrow=_linear(layer.output.dense, kind, lowest),
        norm=_Norm.of(layer.output.LayerNorm),
    )


def _linear(
    module: Any, kind: type[FloatLinear] | type[Int8Linear], lowest: float | None = None
) -> Linear:
    return kind(module.weight.detach(), module.bias.detach(), lowest)


def _is_gelu(activation: torch.nn.Module) -> bool:
    """Whether it is the exact GELU, by trying."""
    sample = torch.linspace(-6, 6, 97)
    return torch.allclose(activation(sample), gelu(sample), atol=1e-6)


def _gelu_in_place(states: torch.Tensor) -> torch.Tensor:
    # torch has the step in place, without a public name for it.
    out: torch.Tensor = torch.ops.aten.gelu_(states)
    return out
