"""From hidden states to the vectors that are compared: the linear layers behind the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import linear

from rag_rerankers.errors import ModelLoadError
from rag_rerankers.scorers.layouts import Layout
from rag_rerankers.weights import load_tensors, read_json, read_modules

__all__ = ["Dense", "project", "read_projection"]

_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Identity": lambda x: x,
    "Tanh": torch.tanh,
    "ReLU": torch.relu,
    "GELU": torch.nn.functional.gelu,
    "SiLU": torch.nn.functional.silu,
    "Sigmoid": torch.sigmoid,
}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """One layer: ``activation(weight x + bias)``, plus ``x`` or ``residual x``.

    Attributes:
        weight: Shape (out, in), float32.
        bias: Shape (out,), or None.
        activation: Name of a torch module.
        skip: Whether the input is added to the output.
        residual: Shape (out, in): applied to the input first if sizes differ; else None.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    activation: str = "Identity"
    skip: bool = False
    residual: torch.Tensor | None = None

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Apply the layer to states of shape (tokens, in)."""
        out: torch.Tensor = _ACTIVATIONS[self.activation](linear(states, self.weight, self.bias))
        if not self.skip:
            return out
        kept: torch.Tensor = states if self.residual is None else linear(states, self.residual)
        return out + kept


def read_projection(
    layout: Layout, folder: Path, width: int, device: torch.device
) -> tuple[Dense, ...]:
    """Read the layers of a checkpoint.

    Args:
        layout: How it was saved.
        folder: Where it lies.
        width: Size of the encoder's hidden states.
        device: Where the layers are to run.

    Raises:
        ModelLoadError: Weights are missing, do not fit, or need an unknown activation.
    """
    if layout == "plain":
        return ()
    if layout == "stanford":
        # Never with a bias, always under this name.
        weight = load_tensors(folder, ("linear.weight",)).get("linear.weight")
        if weight is None:
            raise ModelLoadError(
                f"the weights in {folder} lack linear.weight, ColBERT's projection: without it "
                "the scores would mean nothing"
            )
        layers = [Dense(weight.to(device))]
    else:
        layers = [
            _read_dense(path, device)
            for kind, path in read_modules(folder)
            if kind.rpartition(".")[2] == "Dense"
        ]
    for layer in layers:
        if layer.weight.shape[1] != width:
            raise ModelLoadError(
                f"a projection in {folder} takes {layer.weight.shape[1]} numbers, but gets {width}"
            )
        width = layer.weight.shape[0]
    return tuple(layers)


def _read_dense(folder: Path, device: torch.device) -> Dense:
    config = read_json(folder / "config.json")
    tensors = load_tensors(folder, ("linear.weight", "linear.bias", "residual.weight"))
    if "linear.weight" not in tensors:
        raise ModelLoadError(f"the weights in {folder} lack linear.weight")
    activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise ModelLoadError(
            f"{folder / 'config.json'} asks for the activation {activation!r}; known are "
            f"{', '.join(_ACTIVATIONS)}"
        )
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    return Dense(
        tensors["linear.weight"],
        tensors.get("linear.bias"),
        activation,
        skip=bool(config.get("use_residual", False)),
        residual=tensors.get("residual.weight"),
    )


def project(states: torch.Tensor, layers: Sequence[Dense], *, normalize: bool) -> torch.Tensor:
    """Hidden states, shape (tokens, width), to vectors, shape (tokens, dim), float32.

    Example:
        >>> project(torch.tensor([[3.0, 4.0]]), [], normalize=True)
        tensor([[0.6000, 0.8000]])
    """
    vectors = states.float()
    for layer in layers:
        vectors = layer(vectors)
    return torch.nn.functional.normalize(vectors, dim=-1) if normalize else vectors
