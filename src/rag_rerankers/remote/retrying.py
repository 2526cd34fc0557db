"""One request, tried again where that is safe and may help."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from rag_rerankers.errors import RemoteError, RemoteTimeoutError
from rag_rerankers.remote.answers import excerpt
from rag_rerankers.remote.deadline import Deadline
from rag_rerankers.remote.endpoint import Endpoint
from rag_rerankers.remote.messages import Lost, Pause, Reply, Request, Steps

__all__ = ["RETRIED", "Retrying", "retry_after"]

RETRIED = frozenset({408, 425, 429, 502, 503, 504})
"""Statuses that pass; a reranking changes nothing on the server, so that it may be sent again."""

_LONGEST = 8.0


@dataclass(frozen=True)
class Retrying:
    """How often and when to try again.

    Attributes:
        retries: Tries after the first.
        backoff: Seconds; before the n-th retry a random time up to ``backoff * 2**n`` is waited.
        jitter: Draws a number between two; for tests.
        now: Tells the time of day; for tests.
    """

    retries: int = 3
    backoff: float = 0.25
    jitter: Callable[[float, float], float] = random.uniform
    now: Callable[[], float] = time.time

    def ask(self, request: Request, endpoint: Endpoint, deadline: Deadline) -> Steps[Reply]:
        """Send a request until there is an answer to keep.

        Returns:
            The answer, of any status that is not worth another try.

        Raises:
            RemoteError: There was none, or none that is not worth another try.
            RemoteTimeoutError: The time is over.
        """
        url = request.url
        told = "it was not asked"
        for number in range(self.retries + 1):
            if not deadline.left():
                raise _late(url, deadline, told)
            status = asked = None
            try:
                reply: Reply = yield request
            except Lost as lost:
                reason = endpoint.clean(lost.reason)
                if lost.late:
                    raise _late(url, deadline, reason) from lost
                told = f"{url} cannot be reached: {reason}"
                if not lost.again:
                    raise RemoteError(told, url=url) from lost
            else:
                if reply.status not in RETRIED:
                    return reply
                status = reply.status
                told = f"{url} answered {status}: {excerpt(reply.body, endpoint)}"
                asked = retry_after(reply.headers.get("retry-after"), self.now())
            if number == self.retries:
                break
            wait = self.jitter(0.0, min(_LONGEST, self.backoff * 2**number)) + (asked or 0.0)
            left = deadline.left()
            if wait >= left:
                if asked is not None and asked >= left:
                    raise RemoteError(
                        f"{told}; it asks to come again in {asked:g} seconds, but of the timeout "
                        f"of {deadline.seconds:g} seconds {left:.1f} are left",
                        url=url,
                        status=status,
                    )
                raise _late(url, deadline, told)
            yield Pause(wait)
        tries = f" ({self.retries + 1} tries)" if self.retries else ""
        raise RemoteError(told + tries, url=url, status=status)


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a server asks to wait, from either form of the header; None if it asks nothing.

    Example:
        >>> retry_after("120", now=0.0), retry_after("soon", now=0.0)
        (120.0, None)
        >>> retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now=12.0)
        48.0
    """
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text, re.ASCII):
        return float(text)
    from datetime import timezone
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, date.timestamp() - now)


def _late(url: str, deadline: Deadline, told: str) -> RemoteTimeoutError:
    return RemoteTimeoutError(
        f"{url} gave no scores within {deadline.seconds:g} seconds: {told}. "
        "Send fewer texts, or give a longer timeout=",
        url=url,
    )
