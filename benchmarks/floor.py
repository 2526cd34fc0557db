"""The floor: the matrix products of a model's linear layers, and nothing else.

It runs as a contestant, so that it is interleaved with the rest: as many products as the linear
layers need for the same tokens. A share of the floor is its time over a contestant's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.models import linear_layers, shape_of
from benchmarks.peers.base import Config, Model, Score
from benchmarks.tokens import count_tokens

if TYPE_CHECKING:
    import torch

    Product = Callable[[Any], torch.Tensor]

__all__ = ["FLOOR", "KERNELS", "Floor"]

KERNELS = {
    "float32": ("linear", "packed onednn", "of this project"),
    "bfloat16": ("linear", "packed onednn", "of this project"),
    "int8": ("dynamic onednn", "dynamic fbgemm", "qlinear_pointwise", "of this project"),
}
BATCHES = (512, 2048)
# Weights of so many layers take turns: more than a cache holds, as in the model.
_LAYERS_HELD = 6


class Floor:
    """Matrix products alone, at each dtype, by the kernels that there are."""

    name = "matrix products alone"
    venv = "main"
    models: tuple[Model, ...] = ("bge", "colbert", "minilm-cross", "minilm-maxsim")

    def configs(self, model: Model) -> list[Config]:
        """Every kernel at every number of tokens a product."""
        return [
            Config(f"{dtype} {kernel}, {batch} tokens", dtype, {"kernel": kernel, "batch": batch})
            for dtype, kernels in KERNELS.items()
            for kernel in kernels
            for batch in BATCHES
        ]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Something that takes the time of the products, and scores nothing."""
        import torch

        shape = shape_of(folder)
        layers = shape["num_hidden_layers"]
        kernel, batch = config.options["kernel"], config.options["batch"]
        held = [
            [_product(kernel, config.dtype, *sides) for sides in linear_layers(shape)]
            for _ in range(min(layers, _LAYERS_HELD))
        ]
        counted: dict[tuple[str, int], int] = {}

        def score(query: str, texts: Sequence[str]) -> list[float]:
            key = (query, len(texts))
            if key not in counted:
                counted[key] = count_tokens(folder, model, query, texts)
            with torch.inference_mode():
                for tokens in batches(counted[key], batch):
                    inputs = {
                        side: _input(kernel, config.dtype, tokens, side)
                        for side in {inputs for inputs, _ in linear_layers(shape)}
                    }
                    for layer in range(layers):
                        for (side, _), product in zip(
                            linear_layers(shape), held[layer % len(held)], strict=True
                        ):
                            product(inputs[side])
            return [0.0] * len(texts)

        return score


def batches(tokens: int, batch: int) -> list[int]:
    """Tokens of each product: as even as can be, none above ``batch``."""
    count = max(1, -(-tokens // batch))
    return [tokens // count + (index < tokens % count) for index in range(count)]


def _product(kernel: str, dtype: str, inputs: int, outputs: int) -> Product:
    """One linear layer with random weights."""
    import torch

    weight = torch.randn(outputs, inputs) * 0.04
    if kernel == "linear":
        cast = weight.to(getattr(torch, dtype))
        return lambda x: torch.nn.functional.linear(x, cast)
    if kernel == "packed onednn":
        laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.to(getattr(torch, dtype)))
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, laid_out, None, "none", [], "")
    if kernel == "of this project":
        return _own_product(weight, dtype)
    scale = weight.abs().amax(1) / 127
    zeros = torch.zeros(outputs, dtype=torch.long)
    if kernel == "qlinear_pointwise":
        whole = (weight / scale[:, None]).round().to(torch.int8)
        packed = torch.ops.onednn.qlinear_prepack(whole, None)
        # An input that is quantized already: dynamic quantization is not a matrix product.
        settings: tuple[Any, ...] = (
            packed,
            scale,
            zeros,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return lambda x: torch.ops.onednn.qlinear_pointwise(x, 0.02, 128, *settings)
    torch.backends.quantized.engine = kernel.removeprefix("dynamic ")
    quantized = torch.quantize_per_channel(weight, scale.double(), zeros, 0, torch.qint8)
    prepacked = torch.ops.quantized.linear_prepack(quantized, None)
    return lambda x: torch.ops.quantized.linear_dynamic(x, prepacked, True)


def _own_product(weight: torch.Tensor, dtype: str) -> Product:
    import torch

    from rag_rerankers.engine.float_blocks import float_blocks
    from rag_rerankers.engine.int8_blocks import int8_blocks
    from rag_rerankers.engine.linear import FloatLinear

    widths = min(weight.shape), max(weight.shape)
    if dtype == "int8":
        blocks = int8_blocks(*widths)
        if blocks is not None:
            part = blocks.linear(weight, None)
            return lambda rounded: blocks.multiply(part, rounded)
    else:
        cast = weight.to(getattr(torch, dtype))
        floats = float_blocks(*widths, cast.dtype)
        if floats is not None:
            own = floats.linear(FloatLinear(cast, None))
            return lambda states: floats.multiply(own, states)
    raise RuntimeError(f"this project leaves products in {dtype} to torch here")


def _input(kernel: str, dtype: str, tokens: int, width: int) -> Any:
    import torch

    if kernel == "of this project" and dtype != "int8":
        return torch.randn(tokens, width)
    if kernel == "of this project":
        from rag_rerankers.engine.int8_steps import Rounded

        rounded = Rounded.empty(tokens, width)
        rounded.levels.random_(0, 256)
        rounded.scale.fill_(1.0)
        return rounded
    if kernel == "qlinear_pointwise":
        return torch.randint(0, 255, (tokens, width), dtype=torch.uint8)
    return torch.randn(tokens, width).to(
        torch.float32 if dtype == "int8" else getattr(torch, dtype)
    )


FLOOR = Floor()
