"""How much work a call did: tokens read, texts that were cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Meter", "count", "metered"]


@dataclass
class Meter:
    """What was counted.

    Attributes:
        tokens: Tokens that went through the model, special tokens included, padding not.
        cut: Texts that were longer than the model reads.
    """

    tokens: int = 0
    cut: int = 0


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """Count what the scorers do within the block, in this context only.

    What an inner block counts, the outer one does not.
    """
    meter = Meter()
    token = _meter.set(meter)
    try:
        yield meter
    finally:
        _meter.reset(token)


def count(*, tokens: int = 0, cut: int = 0) -> None:
    """Add to the meter of the surrounding block, if there is one."""
    meter = _meter.get()
    if meter is not None:
        meter.tokens += tokens
        meter.cut += cut
