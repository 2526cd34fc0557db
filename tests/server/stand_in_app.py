"""An app with the server's health checks, for what is about Ray and not about the app."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Settings", "create_app"]


@dataclass(frozen=True)
class Settings:
    """What the stand-in is told.

    Attributes:
        model: What it says it serves; ``"absent"`` cannot be loaded.
        folder: Where it leaves a file for each process in which it was ready.
    """

    model: str
    folder: str


def create_app(settings: Settings) -> Any:
    """It is ready a moment after it has started, as one is that loads models behind the start."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    if settings.model == "absent":
        raise FileNotFoundError(f"there is no model {settings.model!r}")

    state = {"ready": False}

    async def load() -> None:
        await asyncio.sleep(0.5)
        Path(settings.folder, str(os.getpid())).touch()
        state["ready"] = True

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        loading = asyncio.create_task(load())
        yield
        loading.cancel()

    async def live(_: Any) -> Any:
        return JSONResponse({})

    async def ready(_: Any) -> Any:
        return JSONResponse({}, 200 if state["ready"] else 503)

    async def rank(request: Any) -> Any:
        told = {
            "asked": await request.json(),
            "key": request.headers.get("authorization"),
            "model": settings.model,
            "pid": os.getpid(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
        }
        return JSONResponse(told, 200 if state["ready"] else 503)

    routes = [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/rank", rank, methods=["POST"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
