"""What goes to a server and comes back, free of any HTTP library."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

__all__ = ["Effect", "Lost", "Pause", "Reply", "Request", "Steps", "post"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: ``GET`` or ``POST``.
        url: Where to.
        body: JSON in UTF-8; None for none.
    """

    method: str
    url: str
    body: bytes | None = None

    @property
    def most(self) -> int:
        """How many bytes an answer may have: servers may repeat the texts, and little more."""
        return 16 * 2**20 + 4 * len(self.body or b"")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, of whatever status.

    Attributes:
        status: The HTTP status.
        headers: By names in lower case.
        body: Decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lost(Exception):  # noqa: N818 -- what happened, and no error that anybody sees
    """A request that got no answer; the driver throws it into the steps.

    Args:
        reason: What happened, in words.
        again: Whether another try may help.
        late: Whether the time of the whole call is over.
    """

    def __init__(self, reason: str, *, again: bool = True, late: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.late = late


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds to wait."""

    seconds: float


Effect: TypeAlias = Request | Pause
Steps: TypeAlias = Generator[Effect, Any, Result]
"""Yields what is to be done; is sent the Reply to a Request, and anything after a Pause."""


def post(url: str, body: Mapping[str, Any]) -> Request:
    """A request with a JSON body; half surrogate pairs, which UTF-8 cannot hold, are replaced."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    return Request("POST", url, data)
