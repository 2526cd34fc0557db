"""Answers as JSON that every pipe can carry."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from rag_rerankers.server.problems import Problem, as_body

__all__ = ["Answer", "refusal"]


class Answer(Response):
    """JSON in ASCII: half a surrogate pair, which UTF-8 has no bytes for, comes back as it came."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes.

        Raises:
            ValueError: A number is not finite.
        """
        try:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
        except RecursionError:  # an object that was just not too deep to be read, sent back
            raise Problem(422, "the documents are nested too deeply to be sent back") from None


def refusal(problem: Problem, *, tei: bool = False) -> Answer:
    """The answer to a request that is not served."""
    return Answer(as_body(problem, tei=tei), problem.status, headers=problem.headers)
