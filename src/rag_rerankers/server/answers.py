"""Answers as JSON that every pipe can carry."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from rag_rerankers.server.problems import Problem, as_body

__all__ = ["Answer", "refusal", "say_as_tei"]


class Answer(Response):
    """JSON in ASCII: half a surrogate pair, which UTF-8 has no bytes for, comes back as it came."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes.

        Raises:
            ValueError: A number is not finite.
        """
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def refusal(problem: Problem, request: Request) -> Answer:
    """The answer to a request that is not served, in the words of its dialect."""
    body = as_body(problem, tei=getattr(request.state, "tei", False))
    return Answer(body, problem.status, headers=problem.headers)


def say_as_tei(request: Request) -> None:
    """From here on this request is refused in the words of text-embeddings-inference."""
    request.state.tei = True
