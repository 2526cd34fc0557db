"""How much work a call did: tokens read, texts that were cut; and whether it failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from rag_rerankers.errors import RerankError

__all__ = ["Meter", "count", "metered", "note_failure"]


@dataclass
class Meter:
    """What was counted.

    Attributes:
        tokens: Tokens that went through the model, special tokens included, padding not.
        cut: Texts that were longer than the model reads.
        failure: The first error for which a ranking was skipped (``on_failure="keep_order"``).
    """

    tokens: int = 0
    cut: int = 0
    failure: RerankError | None = None


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered(*, shared: bool = False) -> Iterator[Meter]:
    """Count what the scorers do within the block, in this context only.

    Args:
        shared: Whether the block around this one counts it too. Otherwise what an inner block
            counts, the outer one does not.
    """
    meter = Meter()
    token = _meter.set(meter)
    try:
        yield meter
    finally:
        _meter.reset(token)
        if shared:
            count(tokens=meter.tokens, cut=meter.cut)
            if meter.failure is not None:
                note_failure(meter.failure)


def count(*, tokens: int = 0, cut: int = 0) -> None:
    """Add to the meter of the surrounding block, if there is one."""
    meter = _meter.get()
    if meter is not None:
        meter.tokens += tokens
        meter.cut += cut


def note_failure(error: RerankError) -> None:
    """Tell the meter of the surrounding block, if there is one, that a ranking was skipped."""
    meter = _meter.get()
    if meter is not None and meter.failure is None:
        meter.failure = error
