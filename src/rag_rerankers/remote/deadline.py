"""How much of the time of a call is left."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Deadline"]


class Deadline:
    """Counts down from when it is made.

    Args:
        seconds: The time of the whole call.
        clock: Tells seconds; for tests.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds, at least 0."""
        return max(0.0, self._end - self._clock())
