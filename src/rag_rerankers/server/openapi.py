"""The OpenAPI description: bodies that the routes parse themselves, and what may go wrong."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from rag_rerankers.server import schemas

__all__ = ["ERRORS", "body_of", "describe"]

_BODIES = (
    schemas.RerankBody,
    schemas.TeiBody,
    schemas.ScoreBody,
    schemas.RankBody,
    schemas.ExplainBody,
)
_REF = "#/components/schemas/"
_ERROR = {"model": schemas.ErrorBody | schemas.TeiErrorBody}
_RETRY = {
    "headers": {
        "Retry-After": {
            "schema": {"type": "integer"},
            "description": "Seconds after which to try again.",
        }
    }
}

ERRORS: dict[int | str, dict[str, Any]] = {
    400: _ERROR | {"description": "The body is not JSON, or the model cannot do this."},
    401: _ERROR | {"description": "No API key, or a wrong one."},
    404: _ERROR | {"description": "No model has this name."},
    408: _ERROR | {"description": "The body came too slowly."},
    413: _ERROR | {"description": "More bytes, documents or tokens than one request may have."},
    415: _ERROR | {"description": "The content type is not JSON."},
    422: _ERROR | {"description": "A field is missing or of the wrong type."},
    500: _ERROR | {"description": "The model failed."},
    502: _ERROR | {"description": "The server behind the model failed."},
    503: _ERROR | _RETRY | {"description": "Full, loading or stopping."},
    504: _ERROR | {"description": "The deadline passed."},
}
"""What every route that ranks may answer."""


def body_of(*names: str) -> dict[str, Any]:
    """The description of a body that is one of several."""
    refs = [{"$ref": _REF + name} for name in names]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    deadline = {
        "name": "X-Request-Timeout",
        "in": "header",
        "required": False,
        "description": "Seconds after which the answer is of no use; the server's own at most.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    }
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "parameters": [deadline],
    }


def describe(app: FastAPI, *, with_keys: bool) -> dict[str, Any]:
    """The whole description."""
    description = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in _BODIES], ref_template=_REF + "{model}"
    )
    description["components"]["schemas"].update(definitions["$defs"])
    if with_keys:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"key": []}]
        for path, operations in description["paths"].items():
            for operation in operations.values() if path.startswith("/health") else ():
                operation["security"] = []
    return description
