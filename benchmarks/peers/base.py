"""What a peer is: another way to score candidates, in a given configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["Config", "Model", "Peer", "Score"]

Model = Literal["bge", "colbert", "minilm-cross", "minilm-maxsim"]
"""The models of the benchmark; ``benchmarks/models.py`` makes a folder of each."""

Score = Callable[[str, Sequence[str]], list[float]]
"""Query and texts in, one score a text out, in the order of the texts."""


@dataclass(frozen=True, slots=True)
class Config:
    """One way to run a peer.

    Attributes:
        label: What a table says, such as ``"bf16, batch 8"``; ``"defaults"`` for what a user gets
            who only names the model.
        dtype: What the products are computed in: ``float32``, ``bfloat16`` or ``int8``. Results
            are compared at equal dtype.
        options: What the peer's ``load`` makes of it.
        method: How numbers are rounded, where a peer has several ways that rank differently well:
            the fastest of each is measured, for the fastest of all may not be as faithful.
    """

    label: str
    dtype: str = "float32"
    options: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""


class Peer(Protocol):
    """Somebody else's way to score; modules import nothing heavy before ``load``.

    Attributes:
        name: As in the tables.
        venv: The environment that it runs in: ``benchmarks/requirements-VENV.txt`` makes it.
        models: What it can run.
    """

    name: str
    venv: str
    models: tuple[Model, ...]

    def configs(self, model: Model) -> list[Config]:
        """Its defaults first, then what the sweep tries."""
        ...

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Load the model, ready to score. Conversions (ONNX, OpenVINO) go to ``folder``'s side."""
        ...
