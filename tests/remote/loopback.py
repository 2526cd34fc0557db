"""A server on a real socket, whose behaviour a test chooses."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Loopback", "loopback"]

Behave = Callable[["Loopback", Any], None]


class Loopback:
    """What the handler tells the test, and the test the handler.

    Attributes:
        url: Where it is.
        connections: How many were opened.
        requests: How many were read.
        asked: Set once a request has arrived.
        gone: Set once a client has hung up on a request that got no answer.
        release: Set by the test to let requests go on that wait for it.
    """

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.requests = 0
        self.asked = threading.Event()
        self.gone = threading.Event()
        self.release = threading.Event()


def answer(handler: Any) -> None:
    """Rank as the native dialect does: the longer, the better."""
    hits = [
        {"index": i, "score": float(len(text)), "relevance": 0.5}
        for i, text in enumerate(handler.body["texts"])
    ]
    handler.reply(200, json.dumps({"hits": hits}).encode())


def hang(loop: Loopback, handler: Any) -> None:
    """No answer; notices when the client hangs up."""
    loop.asked.set()
    handler.connection.settimeout(30)
    if handler.connection.recv(1) == b"":
        loop.gone.set()
    handler.close_connection = True


def stall(loop: Loopback, handler: Any) -> None:
    """Half an answer, then nothing."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    hang(loop, handler)


def reset(handler: Any) -> None:
    """Drop the connection without a word."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


@contextmanager
def loopback(behave: Behave) -> Iterator[Loopback]:
    """A server that does with each request what it is told."""
    loop = Loopback()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        body: Any = None

        def setup(self) -> None:
            super().setup()
            loop.connections += 1

        def do_POST(self) -> None:
            self.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            loop.requests += 1
            behave(loop, self)

        def reply(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    loop.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield loop
    finally:
        loop.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
