"""BERT's family with fewer and larger steps than its own code takes.

BERT, RoBERTa, XLM-R, CamemBERT and ELECTRA name their parts alike: the weights are taken out and
run as one loop over packed rows, where query, key and value are one product and sums happen in
place. Whether a model really is built like that is not read off its name: the probe compares the
numbers, see :func:`rag_rerankers.engine.probe.choose_runner`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import gelu, pad
from transformers import PreTrainedModel

from rag_rerankers.engine.attention import PackedLayout, attend
from rag_rerankers.engine.float_blocks import float_blocks
from rag_rerankers.engine.int8_blocks import int8_blocks
from rag_rerankers.engine.int8_steps import Norm, int8_steps
from rag_rerankers.engine.layer import (
    FloatBlockWork,
    Int8BlockWork,
    Int8Work,
    Layer,
    States,
    TorchWork,
    Work,
)
from rag_rerankers.engine.linear import (
    GELU_LOWEST,
    FloatLinear,
    Int8Linear,
    Linear,
    PackedLinear,
    packing_pays,
)
from rag_rerankers.engine.spare import Spare

__all__ = ["FusedEncoder"]

_FIRSTS = 8
"""Of what number the first tokens that are multiplied together are a multiple."""

Kind = Callable[..., Linear]
"""Makes a product of a weight, a bias, and perhaps the lowest number that is multiplied."""


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
        self._work, kind = _way(body.encoder.layer, int8=int8)
        *others, last = body.encoder.layer
        self._layers = [_read(layer, kind) for layer in others]
        self._last = _read(last, kind, apart=True)
        attention = body.encoder.layer[0].attention.self
        self._heads = int(attention.num_attention_heads)
        self._dim = int(attention.attention_head_size)
        self._spare = Spare()
        # Where weights are rounded to 8 bits, 16 are enough for what attention multiplies.
        weights = body.encoder.layer[0].intermediate.dense.weight
        self._halves = int8 or weights.dtype != torch.float32

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
        embedded = self._embeddings(input_ids=input_ids, **inputs)[0]
        if not self._work.takes_memory:
            return self._through_layers(layout, embedded, None, firsts=firsts)
        with self._spare.lent(3 * embedded.numel()) as memory:
            return self._through_layers(layout, embedded, memory, firsts=firsts)

    def _through_layers(
        self,
        layout: PackedLayout,
        embedded: torch.Tensor,
        memory: torch.Tensor | None,
        *,
        firsts: bool,
    ) -> torch.Tensor:
        """``memory`` is where queries, keys and values go, if there is some."""
        work, states = self._work, self._work.begin(embedded)
        for layer in self._layers:
            query, key, value = self._parts(layer.rest, states, memory)
            states = work.finish(layer, self._attend(query, key, value, layout), states)
        last, own = self._last, None
        assert last.query is not None
        if memory is not None:
            memory, own = memory.split([2 * embedded.numel(), embedded.numel()])
        key, value = self._parts(last.rest, states, memory)
        if not firsts:
            (query,) = self._parts(last.query, states, own)
            states = work.finish(last, self._attend(query, key, value, layout), states)
            return states.numbers.to(embedded.dtype)
        asked = layout.starts[:-1].long()
        count, more = len(asked), -len(asked) % _FIRSTS
        asking = work.begin(states.numbers[pad(asked, (0, more))])
        (query,) = self._parts(last.query, asking, None)
        context = self._attend(query[:count], key, value, layout, firsts=True)
        states = work.finish(last, pad(context, (0, 0, 0, 0, 0, more)), asking)
        return states.numbers[:count].to(embedded.dtype)

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: PackedLayout,
        *,
        firsts: bool = False,
    ) -> torch.Tensor:
        return attend(query, key, value, layout=layout, firsts=firsts, halves=self._halves)

    def _parts(
        self, part: Linear, states: States, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, ...]:
        """What it gives of queries, keys and values, each of shape (tokens, heads, dim)."""
        together = self._work.multiply(part, states, self._dim, memory)
        parts: tuple[torch.Tensor, ...] = together.unflatten(1, (-1, self._heads)).unbind(1)
        return parts

    def pack(self) -> None:
        """Lay the weights out for the CPU, layer by layer; the model's own are freed.

        They are left as they are where that is not faster.
        """
        modules = self._body.encoder.layer
        way = _packed_way(modules)
        if way is None:
            return
        self._work, lay_out = way
        layers = zip([*self._layers, self._last], modules, strict=True)
        *self._layers, self._last = [_packed(layer, module, lay_out) for layer, module in layers]

    def release(self) -> None:
        """Free the model's own weights of the layers: they are not needed beside int8 ones."""
        _free(self._body.encoder)


def _way(layers: Any, *, int8: bool) -> tuple[Work, Kind]:
    """The fastest way to work, and what makes its products."""
    if not int8:
        return TorchWork(), FloatLinear
    first = layers[0].intermediate.dense
    hidden, inner = int(first.in_features), int(first.out_features)
    if not all(_is_plain(layer, hidden, inner, torch.float32) for layer in layers):
        return TorchWork(), Int8Linear
    blocks = int8_blocks(hidden, inner)
    if blocks is not None:
        return Int8BlockWork(blocks), blocks.linear
    steps = int8_steps(hidden, inner)
    return (TorchWork() if steps is None else Int8Work(steps)), Int8Linear


def _packed_way(layers: Any) -> tuple[Work, Callable[[FloatLinear], Linear]] | None:
    """The fastest way to work with float weights, and what lays these out; None: leave them."""
    first = layers[0].intermediate.dense
    hidden, inner, dtype = int(first.in_features), int(first.out_features), first.weight.dtype
    if all(_is_plain(layer, hidden, inner, dtype) for layer in layers):
        blocks = float_blocks(hidden, inner, dtype)
        if blocks is not None:
            return FloatBlockWork(blocks), blocks.linear
    return (TorchWork(), PackedLinear) if packing_pays(dtype) else None


def _is_plain(layer: Any, hidden: int, inner: int, dtype: torch.dtype) -> bool:
    """Whether a layer has these widths, GELU, and norms of this dtype on the CPU."""
    own = layer.attention.self
    parts = [own.query, own.key, own.value, layer.attention.output.dense, layer.intermediate.dense]
    shapes = [*[(hidden, hidden)] * 4, (inner, hidden), (hidden, inner)]
    norms = (layer.attention.output.LayerNorm, layer.output.LayerNorm)
    return (
        [tuple(part.weight.shape) for part in [*parts, layer.output.dense]] == shapes
        and all(norm.weight.is_cpu and norm.weight.dtype == dtype for norm in norms)
        and _is_gelu(layer.intermediate.intermediate_act_fn)
    )


def _packed(
    layer: Layer, module: torch.nn.Module, lay_out: Callable[[FloatLinear], Linear]
) -> Layer:
    """The same layer with its float products laid out for the CPU; the module's are freed."""

    def laid_out(part: Linear) -> Linear:
        return lay_out(part) if isinstance(part, FloatLinear) else part

    _free(module)
    return replace(
        layer,
        query=None if layer.query is None else laid_out(layer.query),
        rest=laid_out(layer.rest),
        attended=laid_out(layer.attended),
        widen=laid_out(layer.widen),
        narrow=laid_out(layer.narrow),
    )


def _free(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        parameter.data = parameter.data.new_empty(0)


def _read(layer: Any, kind: Kind, *, apart: bool = False) -> Layer:
    own = layer.attention.self
    parts = (own.query, own.key, own.value)
    weight = torch.cat([part.weight.detach() for part in parts])
    bias = torch.cat([part.bias.detach() for part in parts])
    if kind is FloatLinear:
        # One copy in memory: the model's own layers become views of the joined tensor.
        for part, rows in zip(parts, weight.chunk(3), strict=True):
            part.weight.data = rows
    activation = layer.intermediate.intermediate_act_fn
    exact = _is_gelu(activation)
    lowest = GELU_LOWEST if exact else None
    width = len(own.query.weight) if apart else 0
    return Layer(
        query=kind(weight[:width], bias[:width]) if apart else None,
        rest=kind(weight[width:], bias[width:]),
        attended=_linear(layer.attention.output.dense, kind),
        attention_norm=Norm.of(layer.attention.output.LayerNorm),
        widen=_linear(layer.intermediate.dense, kind),
        activation=_gelu_in_place if exact else activation,
        narrow=_linear(layer.output.dense, kind, lowest),
        norm=Norm.of(layer.output.LayerNorm),
    )


def _linear(module: Any, kind: Kind, lowest: float | None = None) -> Linear:
    return kind(module.weight.detach(), module.bias.detach(), lowest)


def _is_gelu(activation: Any) -> bool:
    """Whether it is the exact GELU, by trying."""
    if not isinstance(activation, torch.nn.Module):
        return False
    sample = torch.linspace(-6, 6, 97)
    return torch.allclose(activation(sample), gelu(sample), atol=1e-6)


def _gelu_in_place(states: torch.Tensor) -> torch.Tensor:
    # torch has the step in place, without a public name for it.
    out: torch.Tensor = torch.ops.aten.gelu_(states)
    return out
