"""A circuit breaker: a server that keeps failing is left alone for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Breaker", "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a call that wants to be made is told.

    Attributes:
        wait: None if it may be made; else the seconds until another try, 0 while a call tries.
        trial: Whether it is the one that tries.
    """

    wait: float | None = None
    trial: bool = False


class Breaker:
    """Closed, it lets every call through; open, none; half open, one that tries.

    Args:
        failures: Opens after so many in a row. 0: never.
        cooldown: Seconds until one call may try again.
        clock: Tells seconds; for tests.

    Attributes:
        last: What the last failure was.
    """

    def __init__(
        self, failures: int, cooldown: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.failures = failures
        self.cooldown = cooldown
        self.last = ""
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._opened: float | None = None
        self._trying = False

    def enter(self) -> Entry:
        """Ask to make a call; if it may be made, :meth:`leave` is to be told how it went."""
        with self._lock:
            if self._opened is None:
                return Entry()
            wait = self._opened + self.cooldown - self._clock()
            if wait > 0 or self._trying:
                return Entry(max(0.0, wait))
            self._trying = True
            return Entry(trial=True)

    def leave(self, entry: Entry, *, answered: bool, failure: str | None = None) -> None:
        """Tell how a call went.

        Args:
            entry: What :meth:`enter` gave.
            answered: Whether the server showed that it works.
            failure: Why it failed. With neither, as of a call that was cancelled, nothing changes.
        """
        with self._lock:
            if entry.trial:
                self._trying = False
            if answered:
                self._count, self._opened = 0, None
            elif failure is not None:
                self._count += 1
                self.last = failure
                opens = 0 < self.failures <= self._count and self._opened is None
                if opens or entry.trial:
                    self._opened = self._clock()

    def renew(self) -> None:
        """After a fork: another thread may have held the lock, or have been trying."""
        self._lock = threading.Lock()
        self._trying = False
