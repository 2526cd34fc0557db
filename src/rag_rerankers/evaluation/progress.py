"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

__all__ = ["Progress", "silent"]

T = TypeVar("T")


class Progress(Protocol):
    """Wraps what a loop goes through, and shows it."""

    def __call__(self, description: str, items: Iterable[T], total: int) -> Iterable[T]:
        """Return the items, unchanged.

        Args:
            description: What is done with them.
            items: What the loop goes through.
            total: How many there are.
        """
        ...


def silent(description: str, items: Iterable[T], total: int) -> Iterable[T]:
    """Show nothing."""
    return items
