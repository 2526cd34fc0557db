"""The products that a transformer's time goes into: float, or int8 by oneDNN.

Where no machine code of our own multiplies (:mod:`rag_rerankers.engine.float_blocks`): with AVX-512
float products are faster from weights that oneDNN has laid out, with less MKL's from plain ones.

int8 here means: weights with one scale for each output, rounded once at load; activations with one
scale for each *token*, rounded as they come. A scale for a whole batch would be one step cheaper,
but then a text's score would depend on which other texts happen to share its batch.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

import torch
from torch.nn.functional import linear

from rag_rerankers.engine.device import cpu_has_bfloat16

__all__ = [
    "GELU_LOWEST",
    "FloatLinear",
    "Int8Linear",
    "Int8Module",
    "Linear",
    "PackedLinear",
    "int8_is_there",
    "int8_levels",
    "packing_pays",
    "quantize_modules",
    "round_weight",
    "to_levels",
]

GELU_LOWEST = -0.17
"""GELU's minimum is -0.16997."""

# Layers narrower than this cost nothing, and are heads or projections that want their precision.
_NARROWEST = 16


class Linear(Protocol):
    """``weight x + bias`` for every row of ``x``.

    Attributes:
        out_features: Numbers that come out for each row.
    """

    out_features: int

    def __call__(
        self, states: torch.Tensor, *, spend: bool = False, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """States of shape (tokens, in) to a tensor of shape (tokens, out).

        Args:
            states: What is multiplied.
            spend: Whether nobody needs the states any more, and they may be written over.
            out: Where the result goes; None for a new tensor.
        """
        ...


class FloatLinear:
    """A product in the precision of its weights.

    Args:
        weight: Shape (out, in).
        bias: Shape (out,).
        lowest: Not needed; see :class:`Int8Linear`.
    """

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, lowest: float | None = None
    ) -> None:
        self.out_features = len(weight)
        self.weight = weight
        self.bias = bias

    def __call__(
        self, states: torch.Tensor, *, spend: bool = False, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Linear`."""
        if out is None:
            return linear(states, self.weight, self.bias)
        if self.bias is None:
            return torch.mm(states, self.weight.t(), out=out)
        return torch.addmm(self.bias, states, self.weight.t(), out=out)


class PackedLinear:
    """A float product from weights that lie as oneDNN multiplies them fastest.

    Args:
        plain: What to make it of; its weights are copied.
    """

    def __init__(self, plain: FloatLinear) -> None:
        self.out_features = plain.out_features
        self._packed = torch.ops.mkldnn._reorder_linear_weight(plain.weight.contiguous())
        # The plain one's bias is a part of the model's.
        self._bias = None if plain.bias is None else plain.bias.clone()

    def __call__(
        self, states: torch.Tensor, *, spend: bool = False, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Linear`."""
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self._packed, self._bias, "none", [], ""
        )
        return product if out is None else out.copy_(product)


class Int8Linear:
    """A product of 8-bit whole numbers, scaled back to float32.

    ``y[t, o] = s[t] w[o] sum_i q[t, i] v[o, i] + b[o]`` with ``q = round(x / s)``,
    ``s[t] = max_i |x[t, i]| / 127`` and ``v = round(weight / w)``.

    Args:
        weight: Shape (out, in), float.
        bias: Shape (out,), float, or None.
        lowest: A number that no activation is below, if there is one: GELU's -0.17, or 0 for
            ReLU. The 256 levels then cover ``lowest..max`` instead of ``-max..max``, which is
            one bit more of precision for such activations.
    """

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, lowest: float | None = None
    ) -> None:
        rounded, scale = round_weight(weight)
        self.out_features = len(weight)
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._scale = scale
        self._zero = torch.zeros(len(weight), dtype=torch.int32)
        self._lowest = lowest
        self.bias = torch.zeros(len(weight)) if bias is None else bias.float().clone()
        if lowest is not None:
            # x = s q + lowest: what the constant adds to the product is known beforehand.
            self.bias += lowest * scale * rounded.sum(dim=1, dtype=torch.float32)

    def product(self, levels: torch.Tensor) -> torch.Tensor:
        """Levels, shape (tokens, in), by the weights: without scales of tokens, and bias.

        Args:
            levels: uint8; 128 stands for 0, or 0 for ``lowest`` if there is one.
        """
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            levels,
            1.0,
            128 if self._lowest is None else 0,
            self._packed,
            self._scale,
            self._zero,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return product

    def __call__(
        self, states: torch.Tensor, *, spend: bool = False, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See :class:`Linear`; the result is float32."""
        if states.dtype != torch.float32:
            states, spend = states.float(), True
        scratch = states if spend else None
        levels, scale = to_levels(states, self._lowest, scratch)
        product = self.product(levels)
        return torch.addcmul(self.bias, product, scale, out=product if out is None else out)


def round_weight(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of shape (out, in) as levels, int8, and each output's scale, shape (out,)."""
    weight = weight.float()
    scale = (weight.abs().amax(dim=1) / int8_levels()).clamp_min(1e-12)
    return (weight / scale[:, None]).round_().to(torch.int8), scale


def to_levels(
    states: torch.Tensor, lowest: float | None = None, out: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """States of shape (tokens, width) as levels, uint8, and each token's scale, shape (tokens, 1).

    Args:
        states: Float32.
        lowest: See :class:`Int8Linear`.
        out: Memory as large as the states, for numbers in between; None for new one.
    """
    return _symmetric(states, out) if lowest is None else _one_sided(states, lowest, out)


def _symmetric(
    states: torch.Tensor, out: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels 1..255 around 128, shape as ``states``, and scales, shape (tokens, 1)."""
    scale = torch.maximum(states.amax(-1, keepdim=True), states.amin(-1, keepdim=True).neg_())
    scale.div_(127).clamp_min_(1e-20)
    return _to_levels(torch.mul(states, scale.reciprocal(), out=out), 128), scale


def _one_sided(
    states: torch.Tensor, lowest: float, out: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels 0..255 from ``lowest`` to the row's maximum, and scales."""
    scale = states.amax(-1, keepdim=True).sub_(lowest).div_(255).clamp_min_(1e-20)
    return _to_levels(torch.sub(states, lowest, out=out).mul_(scale.reciprocal())), scale


# Above this number, 1.5 times 2 to the 23rd, float32 has nothing but whole numbers.
_ONLY_WHOLE = 12582912.0


def _to_levels(states: torch.Tensor, zero: int = 0) -> torch.Tensor:
    """Rounds ``states + zero``, numbers in 0..255, to 8 bits; writes over ``states``.

    Adding the large number rounds, as :func:`torch.round` would, and leaves the level in the lowest
    8 bits. Each step is one that torch has vector instructions for, which its conversion from
    float to uint8 is not.
    """
    shifted = states.add_(_ONLY_WHOLE + zero).view(torch.int32)
    return shifted.to(torch.int8).view(torch.uint8)


class Int8Module(torch.nn.Module):
    """An :class:`Int8Linear` in the place of a ``torch.nn.Linear``, for any architecture."""

    def __init__(self, replaced: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features = replaced.in_features
        self.out_features = replaced.out_features
        self._linear = Int8Linear(replaced.weight, replaced.bias)
        # Some models ask a layer for the dtype and device of its weight.
        self.register_buffer("weight", torch.empty(0), persistent=False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States of shape (..., in) to shape (..., out)."""
        rows = self._linear(states.reshape(-1, self.in_features))
        return rows.view(*states.shape[:-1], self.out_features)


def quantize_modules(body: torch.nn.Module) -> None:
    """Put int8 in the place of every linear layer of a transformer's body, in place."""
    for name, module in list(body.named_modules()):
        for child, layer in list(module.named_children()):
            if type(layer) is not torch.nn.Linear or "pooler" in f"{name}.{child}":
                continue
            if min(layer.in_features, layer.out_features) >= _NARROWEST:
                setattr(module, child, Int8Module(layer))


@cache
def packing_pays(dtype: torch.dtype) -> bool:
    """Whether :class:`PackedLinear` is there for a dtype on this CPU, right, and faster."""
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    if dtype != torch.float32 and not (dtype == torch.bfloat16 and cpu_has_bfloat16()):
        return False
    plain = FloatLinear(torch.arange(-64.0, 64.0).view(8, 16).to(dtype), torch.ones(8, dtype=dtype))
    states = torch.eye(16, dtype=dtype)[:3]
    try:
        with torch.inference_mode():
            return torch.equal(PackedLinear(plain)(states), plain(states))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


@cache
def int8_levels() -> int:
    """Levels of a weight on each side of zero: 127, or 63 on a CPU whose products would overflow.

    Without VNNI the CPU adds two products of 8 bits in 16, which do not fit if both are large:
    results would be silently wrong. With 7 bits for the weights they always fit. Found by trying.
    """
    return 127 if _exact(127) else 63


@cache
def int8_is_there() -> bool:
    """Whether this build of torch and this machine multiply int8, rightly."""
    try:
        return _exact(63)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


def _exact(level: int) -> bool:
    """Whether the largest numbers are multiplied without overflow."""
    rows, width = 4, 64
    weight = torch.full((32, width), level, dtype=torch.int8)
    weight[1::2] = -level
    states = torch.full((rows, width), 255, dtype=torch.uint8)
    states[1::2] = 0
    got = torch.ops.onednn.qlinear_pointwise(
        states,
        1.0,
        128,
        torch.ops.onednn.qlinear_prepack(weight, None),
        torch.ones(32),
        torch.zeros(32, dtype=torch.int32),
        None,
        1.0,
        0,
        torch.float32,
        "none",
        [],
        "",
    )
    return bool(torch.equal(got, (states.float() - 128) @ weight.float().T))
