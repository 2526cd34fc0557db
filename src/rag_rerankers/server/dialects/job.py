"""What a request asks for, whatever its dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rag_rerankers.server.problems import Problem, shown
from rag_rerankers.types import RankedDocument

__all__ = ["Job", "Outcome", "checked"]

Body = TypeVar("Body", bound=BaseModel)

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Job:
    """A ranking that was asked for.

    Attributes:
        query: The question.
        texts: The candidates.
        model: Its name here; None for the default.
        top_n: Keep this many; None for all.
        threshold: Least relevance; None for any.
        warnings: What of the request is not done; for the answer.
    """

    query: str = field(repr=False)
    texts: Sequence[str] = field(repr=False)
    model: str | None = None
    top_n: int | None = None
    threshold: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        id: Of the request.
        model: That ranked.
        hits: Best first.
        tokens: That the model read.
        cut: Texts that were longer than it reads.
        max_length: Tokens of a text that it reads; None if it cannot tell.
        seconds: That it took.
        created: Unix time.
    """

    id: str
    model: str
    hits: Sequence[RankedDocument]
    tokens: int
    cut: int
    max_length: int | None
    seconds: float
    created: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a client should know of the ranking."""
        if not self.cut:
            return ()
        limit = "" if self.max_length is None else f" {self.max_length} tokens that"
        return (f"texts that were cut to the{limit or ' length that'} the model reads: {self.cut}",)


def checked(kind: type[Body], body: object) -> Body:
    """A body as its model has it.

    Raises:
        Problem: 422; names the fields, but repeats no text.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        fields = [
            {"loc": ["body", *found["loc"]], "msg": _said(found), "type": found["type"]}
            for found in error.errors(include_url=False, include_context=False)
        ]
        message = "; ".join(
            f"{'.'.join(map(str, one['loc'][1:])) or 'body'}: {one['msg']}"
            for one in fields[:_SHOWN]
        )
        more = f" (and {len(fields) - _SHOWN} more)" if len(fields) > _SHOWN else ""
        raise Problem(422, message + more, fields=fields[:100]) from None


def _said(found: Mapping[str, Any]) -> str:
    said: str = found["msg"]
    # What has a missing field is the whole body.
    return said if found["type"] == "missing" else f"{said}, not {shown(found['input'])}"
