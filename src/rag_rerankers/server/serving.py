"""Runs the application with uvicorn: no half-finished answers, no connections that only wait."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import signal
import socket
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from rag_rerankers.errors import TruncationWarning
from rag_rerankers.server.app import create_app
from rag_rerankers.server.gate import Gate
from rag_rerankers.server.settings import ServerSettings

__all__ = ["check_binding", "is_loopback", "serve"]

logger = logging.getLogger("rag_rerankers.server")

_HEADER_SECONDS = 15.0
_KEEP_ALIVE = 75
_LAST_SECONDS = 5


def serve(
    settings: ServerSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    insecure: bool = False,
    tell: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve until SIGTERM or ctrl-c, then finish what was let in.

    Args:
        settings: What to serve, and the limits.
        host: Address to listen on.
        port: 0 takes a free one.
        insecure: Listen beyond this machine although no key is needed.
        tell: Called with the URL once the server listens.

    Raises:
        ValueError: The address is not loopback, there is no key, and ``insecure`` is not set.
        OSError: The address cannot be listened on.
        Exception: A model cannot be loaded: what was wrong with it.
    """
    check_binding(host, settings, insecure=insecure)
    # The answers and the metrics count them; a warning for each request would fill the log.
    warnings.filterwarnings("ignore", category=TruncationWarning)
    failures: list[BaseException] = []

    def stop(error: BaseException) -> None:
        failures.append(error)
        app.state.service.gate.close()

    app = create_app(
        settings,
        loopback_only=not settings.api_keys and not insecure,
        on_load_error=stop,
    )
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        # By then all rankings are done: this is for bodies that still come, and slow readers.
        timeout_graceful_shutdown=math.ceil(settings.body_timeout) + _LAST_SECONDS,
    )
    with _listen(host, port) as listener:
        server = _Server(config, app.state.service.gate)
        tell(_url(listener))
        asyncio.run(server.serve([listener]))
    if failures:
        raise failures[0]


class _Server(uvicorn.Server):
    """Refuses new requests from the first signal on, and ends when the last one is answered."""

    def __init__(self, config: uvicorn.Config, gate: Gate) -> None:
        super().__init__(config)
        self._gate = gate
        self._signal: int | None = None
        self._left: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: the first lets those inside finish, the second does not."""
        if self._signal is not None:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        # No more than this: the signal may have come in the middle of a line of the log.
        self._signal, self._left = sig, self._gate.requests
        self._gate.close()

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second: whether it is time to end."""
        if self._left is not None:
            logger.info("stopping", extra={"signal": self._signal, "requests": self._left})
            self._left = None
        # The listener stays open until then: who comes late gets a proper refusal.
        if self._gate.closed and not self._gate.requests:
            self.should_exit = True
        return await super().on_tick(counter)


class _Protocol(H11Protocol):
    """Hangs up on whoever opens a connection and does not say what for."""

    def connection_made(self, transport: Any) -> None:
        """A new connection."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(_HEADER_SECONDS, self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._waiting.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """An answer is out; the headers of the next request have their own time."""
        super().on_response_complete()
        self._waiting.cancel()
        self._waiting = self.loop.call_later(_KEEP_ALIVE + _HEADER_SECONDS, self._hang_up)

    def _hang_up(self) -> None:
        # While a request is being served the body's own limit and the deadline count.
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()


def check_binding(host: str, settings: ServerSettings, *, insecure: bool) -> None:
    """Refuse to be open to everybody by accident.

    Raises:
        ValueError: The message says how it can be meant.
    """
    if is_loopback(host) or settings.api_keys or insecure:
        return
    raise ValueError(
        f"--host {host} can be reached from other machines, and no key is needed: give "
        "--api-key-file FILE, or --insecure if something else guards it"
    )


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name may come to mean anything


def _listen(host: str, port: int) -> socket.socket:
    try:
        [(family, kind, proto, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise OSError(f"--host {host!r} is not an address of this machine: {error}") from error
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
