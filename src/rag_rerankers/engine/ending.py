"""What a layer has behind its attention, for machine code that does all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from rag_rerankers.engine.int8_steps import Norm
from rag_rerankers.engine.machine_code import divide

__all__ = ["Ending", "Part", "at_a_line", "over_rows"]

_ALONE = 1e8
"""Multiplications of a call that is not worth a second thread: about half a millisecond."""
_LINE = 64
"""Bytes of a cache line."""


class Part(Protocol):
    """A linear layer that machine code multiplies."""

    @property
    def tensors(self) -> Mapping[str, torch.Tensor]:
        """What the code reads, by its names for it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Ending:
    """The parts, in the order of their use.

    Attributes:
        attended: Goes over what attention gives.
        attention_norm: Behind it.
        widen: Makes wide states; GELU goes over them.
        narrow: Makes states of them again.
        norm: Behind it.
    """

    attended: Part
    attention_norm: Norm
    widen: Part
    narrow: Part
    norm: Norm

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """All weights, by names of two words: whose they are, and what."""
        found: dict[str, torch.Tensor] = {}
        parts = {"attended": self.attended, "widen": self.widen, "narrow": self.narrow}
        for name, part in parts.items():
            found |= {f"{name} {what}": tensor for what, tensor in part.tensors.items()}
        for name, norm in (("attention norm", self.attention_norm), ("norm", self.norm)):
            found |= {f"{name} weights": norm.weight, f"{name} bias": norm.bias}
        return found


def over_rows(work: Callable[[int, int], None], rows: int, multiplications: float) -> None:
    """Call it for all rows, from as many threads as that is worth."""
    if rows:
        divide(work, rows, 1 if multiplications < _ALONE else torch.get_num_threads())


def at_a_line(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous copy that begins with a cache line."""
    spare = _LINE // tensor.element_size()
    room = torch.empty(tensor.numel() + spare, dtype=tensor.dtype)
    start = -room.data_ptr() % _LINE // tensor.element_size()
    return room[start : start + tensor.numel()].view(tensor.shape).copy_(tensor)
