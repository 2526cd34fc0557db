"""Memory that one forward pass leaves to the next.

The C library gives memory of some megabytes back to the system when it is freed, and takes it again
a moment later, page by page: up to a tenth of a small model's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["Spare"]

_MOST = 2**25
"""Bytes of memory that is kept: a batch's, not what a very long text took."""


class Spare:
    """Keeps as much as passes use at the same time."""

    def __init__(self) -> None:
        self._free: list[torch.Tensor] = []

    @contextmanager
    def lent(self, numbers: int) -> Iterator[torch.Tensor]:
        """Memory for so many float32, in one row; it holds whatever it held."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = torch.empty(0)
        if len(memory) < numbers:
            memory = torch.empty(numbers)
        try:
            yield memory[:numbers]
        finally:
            if memory.nbytes <= _MOST:
                self._free.append(memory)
