"""A very small OpenAI-compatible server that remembers what it was asked."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ChatServer:
    """What it says, and what it has heard."""

    url: str
    answer: str = "Forty-two."
    status: int = 200
    html: bool = False
    interrupts: bool = False  # as if somebody pressed Ctrl-C while it thinks
    done: threading.Event = field(default_factory=threading.Event)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def prompts(self) -> list[str]:
        """All that was said in each request."""
        return [
            "\n".join(message["content"] for message in request["messages"])
            for request in self.requests
        ]


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            state.requests.append(json.loads(self.rfile.read(length)))
            state.keys.append(self.headers["Authorization"])
            state.paths.append(self.path)
            if state.interrupts:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                state.done.wait(30)
                return
            body, kind = self._body()
            self.send_response(state.status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> tuple[bytes, str]:
            if state.html:
                return b"<html><body>Welcome</body></html>", "text/html"
            if state.status != 200:
                return json.dumps({"error": {"message": "no such key"}}).encode(), JSON
            message = {"role": "assistant", "content": state.answer}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            reply = {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            }
            return json.dumps(reply).encode(), JSON

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = ChatServer(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        state.done.set()
        server.shutdown()
        thread.join()
        server.server_close()


JSON = "application/json"
