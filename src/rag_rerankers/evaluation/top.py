"""The best of many scores, ties in a fixed order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_first"]


def best_first(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Indices of the k highest scores, best first; equal scores keep their order.

    Args:
        scores: Shape (n,).
        k: How many; all of them if there are fewer.

    Example:
        >>> best_first(np.array([1.0, 3.0, 1.0, 1.0]), 2).tolist()
        [1, 0]
    """
    k = min(k, len(scores))
    if k == 0:
        return np.empty(0, dtype=np.intp)
    # A partition alone takes any of the ties at the last place.
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > least)
    chosen = np.concatenate([above, np.flatnonzero(scores == least)[: k - len(above)]])
    return chosen[np.lexsort((chosen, -scores[chosen]))]
