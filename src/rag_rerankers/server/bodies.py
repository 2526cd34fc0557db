"""Request bodies: in time, within their size, and JSON by the letter."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from rag_rerankers.server.problems import Problem, shown
from rag_rerankers.server.work import ClientGoneError

__all__ = ["Room", "read_json"]

_DEEPEST = 64
"""Levels of arrays and objects: what can be read must not be too deep to be written again."""


class Room:
    """Memory for bodies that are being received, all requests together.

    They are not counted by the gate yet, so many slow and large ones would fill the memory.

    Args:
        max_bytes: At once.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = 0

    def take(self, size: int) -> None:
        """Hold so many more bytes.

        Raises:
            Problem: 503, there is no room for them.
        """
        if self.held + size > self.max_bytes:
            raise Problem(
                503, f"bodies of {self.held} bytes are being received", retry_after=1, close=True
            )
        self.held += size


async def read_json(
    request: Request, room: Room, *, max_bytes: int, seconds: float
) -> dict[str, Any]:
    """Read a request's body, a JSON object.

    Args:
        request: Whose body has not been read.
        room: Where it is held meanwhile.
        max_bytes: That the body may have.
        seconds: That it may take.

    Raises:
        ClientGoneError: The client hung up.
        Problem: 400 (not JSON), 408 (too slow), 413 (too large), 415 (says that it is not JSON),
            422 (JSON, but not an object), 503 (no room).
    """
    _check_type(request.headers.get("content-type"))
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(
            415,
            f"Content-Encoding {request.headers['content-encoding']!r:.40} is not supported: "
            "send the body as it is",
            close=True,
        )
    body = await _read(request, room, max_bytes, seconds)
    value = _parse(body)
    if not isinstance(value, dict):
        raise Problem(422, f"the body must be a JSON object, not {shown(value)}")
    return value


def _check_type(content_type: str | None) -> None:
    # A page of another site may send text/plain without asking; JSON it may not. So this also
    # keeps foreign pages from using a server on the visitor's own machine.
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise Problem(
            415, f"Content-Type must be application/json, not {content_type!r:.60}", close=True
        )


async def _read(request: Request, room: Room, max_bytes: int, seconds: float) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()

    async def receive() -> None:
        async for chunk in request.stream():
            if len(body) + len(chunk) > max_bytes:
                raise _too_large(max_bytes)
            room.take(len(chunk))
            body.extend(chunk)

    try:
        await asyncio.wait_for(receive(), seconds)
    except ClientDisconnect:
        raise ClientGoneError from None
    except asyncio.TimeoutError:
        raise Problem(
            408, f"the body was not complete after {seconds:g} s ({len(body)} bytes)", close=True
        ) from None
    finally:
        room.held -= len(body)
    return bytes(body)


def _too_large(max_bytes: int) -> Problem:
    # What is left of the body is not read: nothing else can follow on this connection.
    return Problem(
        413, f"the body has more than {max_bytes} bytes: send fewer or shorter texts", close=True
    )


def _parse(body: bytes) -> Any:
    try:
        # Decoded first: given bytes, json would let through halves of surrogate pairs, and UTF-16.
        text = body.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:  # also an integer of thousands of digits
        raise Problem(400, f"the body is not JSON: {error}") from None
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return value
    raise _too_deep()


def _too_deep() -> Problem:
    return Problem(400, f"the body is nested too deeply: {_DEEPEST} levels are read")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):  # no answer could repeat it
        raise ValueError(f"{digits:.40} is beyond what a float can hold")
    return number
