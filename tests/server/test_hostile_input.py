"""A few hundred attacks on a real connection; benchmarks/hostile makes them by the thousand."""

from __future__ import annotations

import asyncio
import threading

import pytest

from benchmarks.hostile.__main__ import Run
from rag_rerankers import Reranker

pytestmark = [
    pytest.mark.allow_hosts(["127.0.0.1"]),
    # An error in this suite; the server counts the texts instead.
    pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning"),
]


def test_the_server_stays_as_it_was(make):
    uvicorn = pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    from rag_rerankers.server import ServerSettings, create_app

    encoder = make("bert_encoder")
    app = create_app(
        ServerSettings(models=("tiny=encoder",), max_documents=500),
        load=lambda model, settings: Reranker(encoder, device="cpu", dtype="float32"),
    )
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            while not app.state.service.ready:
                await asyncio.sleep(0.01)
            started.set()

    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert started.wait(60)
        address = server.servers[0].sockets[0].getsockname()
        run = Run(address, seed=6, key=None, patience=30, drip=0)
        run.attack(300, 4, slow=False)
    finally:
        server.should_exit = True
        thread.join(30)
    assert run.complaints == []
    assert sum(run.outcomes.values()) == 300
