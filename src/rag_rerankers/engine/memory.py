"""Memory that is free, but that the C library keeps for itself."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache

__all__ = ["give_back"]


def give_back() -> None:
    """Let the C library hand free memory back to the system, where it knows how.

    Tensors of ever other sizes leave gaps. Over thousands of texts glibc kept a hundred megabytes
    of them; to give them back takes it some milliseconds.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """Glibc's function; other systems do without."""
    if sys.platform != "linux":
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # musl has none
        return None
    return found
