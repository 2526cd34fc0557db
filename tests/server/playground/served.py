"""The real application over hand-made scorers, on a real port of this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from tests.explanation.made import made, words

from rag_rerankers import Explanation, Reranker
from rag_rerankers.server import ServerSettings, create_app

__all__ = ["Held", "Length", "Overlap", "playground", "served"]


class Overlap:
    """Counts the query's words that a text has; a word matches its like by 1, all others by 0."""

    max_length = 512

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float(sum(word in text.split(" ") for word in query.split())) for text in texts]

    def relevance(self, query: str, scores: Sequence[float]) -> list[float]:
        return [score / max(1, len(query.split())) for score in scores]

    def explain(self, query: str, text: str) -> Explanation:
        asked, tokens = words(query), words(text)
        rows = [[float(one.text == other.text) for other in tokens] for one in asked]
        return made(query, text, asked, tokens, rows)


class Length:
    """The longer, the better; explains nothing."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float(len(text)) for text in texts]


class Held:
    """Scores a question that begins with "wait" only once it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if query.startswith("wait"):
            self.begun.set()
            assert self.go.wait(60)
        return [float(len(text)) for text in texts]


def playground(
    *names: str,
    keys: Sequence[str] = (),
    load: Callable[[str], Reranker] | None = None,
) -> FastAPI:
    """The application with these scorers; ``overlap`` alone if none is named."""
    scorers = {"overlap": Overlap, "length": Length}
    make = load or (lambda name: Reranker(scorers[name]()))
    settings = ServerSettings(models=names or ("overlap",), api_keys=tuple(keys))
    return create_app(settings, load=lambda name, _: make(name))


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application; the address of its page."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        # Who comes before the server is up waits in the socket's queue.
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the server did not stop"
