"""Who is let in: a bounded number of requests at once, and none any more when the server stops."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rag_rerankers.server.problems import Problem

__all__ = ["Gate"]

_LONGEST_WAIT = 60.0
_WEIGHT = 0.2
"""Of the last observation of the server's speed, in a moving average."""
_STOPPING = 5.0


class Gate:
    """Counts what is being worked on. Used in the event loop alone, so it needs no lock.

    Shedding early keeps the answers of those who are let in quick: a queue that only grows makes
    everybody wait until nobody wants the answer.

    Args:
        max_requests: At once.
        max_tokens: At once, estimated; one request alone may exceed it.
        clock: Seconds, for the tests.

    Attributes:
        requests: Inside now.
        tokens: Of these, estimated.
    """

    def __init__(
        self, max_requests: int, max_tokens: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_requests = max_requests
        self.max_tokens = max_tokens
        self.requests = 0
        self.tokens = 0
        self.closed = False
        self._clock = clock
        self._speed = 0.0
        self._busy_since = 0.0
        self._done = 0

    def close(self) -> None:
        """Let nobody in any more; those inside finish."""
        self.closed = True

    def check_open(self) -> None:
        """Refuse when the server stops.

        Raises:
            Problem: 503.
        """
        if self.closed:
            raise Problem(503, "the server is stopping", retry_after=_STOPPING, close=True)

    def open(self) -> None:
        """Let in again, for an application that is started again."""
        self.closed = False

    @contextmanager
    def enter(self, tokens: int) -> Iterator[None]:
        """Be inside during the block.

        Raises:
            Problem: 503, when the server is full or stops.
        """
        self.check_open()
        if self.requests >= self.max_requests:
            raise Problem(
                503,
                f"{self.requests} requests are being worked on, as many as are let in at once",
                retry_after=self.wait(tokens),
            )
        if self.requests and self.tokens + tokens > self.max_tokens:
            raise Problem(
                503,
                f"about {self.tokens} tokens are being worked on, and about {tokens} more would "
                f"exceed the {self.max_tokens} that are let in at once",
                retry_after=self.wait(tokens),
            )
        if not self.requests:
            self._busy_since, self._done = self._clock(), 0
        self.requests += 1
        self.tokens += tokens
        try:
            yield
            # Work that was given up tells nothing of the speed.
            self._observe(tokens)
        finally:
            self.requests -= 1
            self.tokens -= tokens

    def wait(self, tokens: int) -> float:
        """Seconds until there should be room for so many tokens: a guess from the last minutes."""
        if not self._speed:
            return 1.0
        too_many = max(self.tokens + tokens - self.max_tokens, self.tokens / max(self.requests, 1))
        return min(_LONGEST_WAIT, max(1.0, too_many / self._speed))

    def _observe(self, tokens: int) -> None:
        self._done += tokens
        seconds = self._clock() - self._busy_since
        if seconds <= 0 or not math.isfinite(seconds):
            return
        speed = self._done / seconds
        self._speed = speed if not self._speed else (1 - _WEIGHT) * self._speed + _WEIGHT * speed
