"""Answers that end a connection, and what the client is still sending then."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Send

__all__ = ["Lingering"]

_SECONDS = 2.0


class Lingering:
    """Takes what is left of a body, for a moment, after an answer that ends the connection.

    Closing a socket with unread bytes resets the connection, and a reset may take the answer with
    it that says why: the client would see a broken pipe instead of a 413.

    Args:
        receive: Of the request.
        send: Of the request.
        seconds: That it may take.
    """

    def __init__(self, receive: Receive, send: Send, *, seconds: float = _SECONDS) -> None:
        self._receive = receive
        self._send = send
        self._seconds = seconds
        self._complete = False
        self._ends = False

    async def receive(self) -> Message:
        """The next part of the request."""
        message = await self._receive()
        if not message.get("more_body", False):
            self._complete = True
        return message

    async def send(self, message: Message) -> None:
        """The next part of the answer."""
        if message["type"] == "http.response.start":
            self._ends = Headers(raw=message["headers"]).get("connection", "").lower() == "close"
        elif self._ends and not self._complete and not message.get("more_body", False):
            # With this the client has all of the answer: it need not wait for the end.
            await self._send({**message, "more_body": True})
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._rest(), self._seconds)
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _rest(self) -> None:
        while not self._complete:
            await self.receive()
