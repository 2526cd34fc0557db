"""Servers without a model, and those who ask them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI

from rag_rerankers import Reranker, check_cancelled
from rag_rerankers.metering import count
from rag_rerankers.server import ServerSettings, create_app

__all__ = ["Exchange", "Held", "Overlap", "ask", "client_of", "lines", "post", "serving", "started"]

KEY = "a key of the tests"


class Overlap:
    """How many words of the query a text has, 4 at most; it reads 8 words of a text."""

    max_length = 8

    def score(self, query, texts):
        words = set(query.lower().split())
        read = [text.lower().split() for text in texts]
        count(
            tokens=sum(min(len(text), 8) for text in read),
            cut=sum(len(text) > 8 for text in read),
        )
        return [float(min(4, len(words & set(text[:8])))) for text in read]

    def relevance(self, query, scores):
        return [score / 4 for score in scores]


class Held(Overlap):
    """Works until it is let go or told to stop."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.stopped = threading.Event()

    def score(self, query, texts):
        self.began.release()
        try:
            for _ in range(3000):
                if self.go.wait(0.01):
                    break
                check_cancelled()
        except BaseException:
            self.stopped.set()
            raise
        return super().score(query, texts)

    async def at_work(self, requests: int = 1) -> None:
        """Wait until so many more requests are being worked on."""
        for _ in range(requests):
            assert await asyncio.to_thread(self.began.acquire, timeout=20)

    async def given_up(self) -> None:
        """Wait until one of them was stopped."""
        assert await asyncio.to_thread(self.stopped.wait, 20)


@contextlib.asynccontextmanager
async def serving(
    settings: ServerSettings | None = None,
    scorer: Any = None,
    *,
    load: Callable[[str, ServerSettings], Reranker] | None = None,
    ready: bool = True,
    **options: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app that has started; its ``app`` is the app.

    Args:
        settings: None: one model, "overlap".
        scorer: Of every model; None for :class:`Overlap`.
        load: Instead of a scorer.
        ready: Whether to wait until the models are loaded.
        **options: Of ``create_app``.
    """
    one = scorer or Overlap()
    app = create_app(
        settings or ServerSettings(models=("overlap",), playground=False),
        load=load or (lambda model, settings: Reranker(one)),
        **options,
    )
    async with app.router.lifespan_context(app):
        while ready and not app.state.service.ready:
            await asyncio.sleep(0)
        async with client_of(app) as client:
            yield client


def started(settings: ServerSettings, **options: Any) -> FastAPI:
    """An app whose models are loaded; for many tests, as making one takes a while."""

    async def start() -> None:
        async with app.router.lifespan_context(app):
            while not app.state.service.ready:
                await asyncio.sleep(0)

    app = create_app(settings, load=lambda model, settings: Reranker(Overlap()), **options)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(start())
    loop.close()
    app.state.service.gate.open()
    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A client of an app that has started; its ``app`` is the app."""
    transport = httpx.ASGITransport(app=app)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
    client.app = app  # type: ignore[attr-defined]
    return client


@dataclass
class Exchange:
    """A request of which a test decides what comes when; ``answered`` is set by its end."""

    path: str
    parts: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    sent: list[dict[str, Any]] = field(default_factory=list)
    headers: Iterable[tuple[str, str]] = (("content-type", "application/json"),)
    method: str = "POST"

    def say(self, body: bytes, *, more: bool = False) -> None:
        self.parts.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def hang_up(self) -> None:
        self.parts.put_nowait({"type": "http.disconnect"})

    async def run(self, app: FastAPI) -> None:
        async def send(message):
            self.sent.append(message)

        await app(
            {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": self.method,
                "scheme": "http",
                "path": self.path,
                "raw_path": self.path.encode(),
                "query_string": b"",
                "root_path": "",
                "headers": [
                    (b"host", b"localhost"),
                    *((name.encode(), value.encode()) for name, value in self.headers),
                ],
                "client": ("127.0.0.1", 1),
                "server": ("localhost", 80),
            },
            self.parts.get,
            send,
        )

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def answer_headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def json(self) -> Any:
        return json.loads(b"".join(part.get("body", b"") for part in self.sent[1:]))


async def post(client: httpx.AsyncClient, path: str, body: Any, **headers: str) -> httpx.Response:
    """Send JSON, as it is if it is bytes; underscores of header names are hyphens."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(
        path, content=content, headers={"content-type": "application/json", **named}
    )


async def ask(client: httpx.AsyncClient, path: str, body: Any, **headers: str) -> Any:
    """The answer to a request that is served."""
    answer = await post(client, path, body, **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def lines(text: str) -> list[dict[str, Any]]:
    """The JSON lines of a log; other lines are left out."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
