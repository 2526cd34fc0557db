"""A server on the loopback, and the rerankers in this process that its clients must agree with."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from tests.kinds import Make
from tests.server.clients.serving import KEY, Served

from rag_rerankers import ModelOptions, Reranker


@pytest.fixture(scope="package")
def served(make: Make) -> Iterator[Served]:
    """Two models, a late-interaction model and a cross-encoder; for those who know the key."""
    uvicorn = pytest.importorskip("uvicorn")
    server_module = pytest.importorskip("rag_rerankers.server")
    options = ModelOptions(device="cpu", dtype="float32")
    models = {"minilm-maxsim": "minilm-maxsim", "tiny-cross": str(make("bert_reranker"))}
    app = server_module.create_app(
        server_module.ServerSettings(
            models=tuple(f"{name}={model}" for name, model in models.items()),
            options=options,
            api_keys=(KEY,),
        )
    )
    started = threading.Event()

    class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
        async def startup(self, sockets: object = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert started.wait(60), "the server did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url)
        own = {name: Reranker(model, **options.as_kwargs()) for name, model in models.items()}
        yield Served(url, own)
    finally:
        server.should_exit = True
        thread.join(30)


def _wait_until_ready(url: str) -> None:
    import httpx

    waited = threading.Event()
    for _ in range(600):
        if httpx.get(f"{url}/health/ready").status_code == httpx.codes.OK:
            return
        waited.wait(0.1)
    raise AssertionError("the models were not loaded within a minute")
