"""The application: settings in, an ASGI app out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rag_rerankers import __version__
from rag_rerankers.reranker import Reranker
from rag_rerankers.server.answers import refusal
from rag_rerankers.server.gate import Gate
from rag_rerankers.server.keys import Keys
from rag_rerankers.server.metrics import Metrics
from rag_rerankers.server.middleware import Surroundings
from rag_rerankers.server.models import ServedModels
from rag_rerankers.server.openapi import describe
from rag_rerankers.server.problems import Problem
from rag_rerankers.server.routes import make_router
from rag_rerankers.server.service import Service
from rag_rerankers.server.settings import ServerSettings

__all__ = ["create_app"]


def create_app(
    settings: ServerSettings | None = None,
    *,
    load: Callable[[str, ServerSettings], Reranker] | None = None,
    loopback_only: bool = False,
    on_load_error: Callable[[BaseException], object] | None = None,
) -> FastAPI:
    """Make the server's application; any ASGI server runs it.

    The models are loaded in the background from the startup on: until then ``/health/ready`` and
    the rankings answer 503. Once ``app.state.service.gate`` is closed, new requests get 503 too.

    Args:
        settings: What to serve, and the limits; None for the defaults.
        load: Makes the reranker of a model, instead of loading it as the settings say.
        loopback_only: Refuse requests for another host than this machine; for a server without
            keys.
        on_load_error: Called with what went wrong when a model cannot be loaded.

    Returns:
        The application; its ``state.service`` holds the models, the gate and the metrics.
    """
    settings = settings or ServerSettings()
    models = ServedModels(settings, load)
    gate = Gate(settings.max_queue, settings.max_queue_tokens)
    service = Service(settings, models, gate, Metrics())

    async def load_all() -> None:
        await models.load()
        if models.error is not None and on_load_error is not None:
            on_load_error(models.error)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gate.open()
        loading = asyncio.create_task(load_all())
        yield
        gate.close()
        loading.cancel()
        await asyncio.wait((loading,))

    app = FastAPI(
        title="rag-rerankers",
        version=__version__,
        description="Reranking: Cohere's, Jina's, infinity's, vLLM's and TEI's dialects.",
        lifespan=lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(make_router(service))
    if settings.playground:
        from rag_rerankers.server.playground import make_router as make_playground

        app.include_router(make_playground())
    keys = Keys(settings.api_keys)
    app.add_middleware(
        Surroundings,
        keys=keys,
        metrics=service.metrics,
        loopback_only=loopback_only,
    )
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app, with_keys=bool(keys))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


async def _on_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return refusal(error, request)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework refuses: no such route, no such method."""
    if not isinstance(error, HTTPException):
        raise error
    said = {
        404: f"there is nothing at {request.url.path!r:.100}; /openapi.json lists what there is",
        405: f"{request.method} is not possible at {request.url.path!r:.100}",
    }
    message = said.get(error.status_code, str(error.detail))
    answer = refusal(Problem(error.status_code, message), request)
    answer.headers.update(error.headers or {})
    return answer
