"""A rerank server that speaks the dialects that clients already speak (extra ``server``)."""

from __future__ import annotations

from rag_rerankers.errors import MissingExtraError

try:
    import fastapi  # noqa: F401
    import prometheus_client  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise MissingExtraError("the server", "server") from error

from rag_rerankers.server.app import create_app
from rag_rerankers.server.settings import ServerSettings

__all__ = ["ServerSettings", "create_app"]
