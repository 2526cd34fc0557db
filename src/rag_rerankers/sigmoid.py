"""The logistic sigmoid: from a logit to 0..1."""

from __future__ import annotations

import math

__all__ = ["sigmoid"]


def sigmoid(score: float) -> float:
    """Logistic sigmoid that does not overflow.

    Example:
        >>> sigmoid(0.0)
        0.5
        >>> sigmoid(-1000.0), sigmoid(1000.0)
        (0.0, 1.0)
    """
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-score))
    # exp of a large positive number overflows; of a large negative one it is 0.
    tail = math.exp(score)
    return tail / (1.0 + tail)
