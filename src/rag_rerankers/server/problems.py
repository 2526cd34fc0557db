"""What goes wrong for a client: one exception, with its status and its remedy."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

__all__ = ["Problem", "as_body", "shown"]

# What each dialect calls a kind of error.
_TYPES = {
    400: ("invalid_request_error", "Validation"),
    401: ("authentication_error", "Unauthorized"),
    404: ("not_found_error", "NotFound"),
    405: ("invalid_request_error", "Validation"),
    408: ("timeout_error", "Timeout"),
    413: ("request_too_large", "Validation"),
    415: ("invalid_request_error", "Validation"),
    421: ("invalid_request_error", "Validation"),
    422: ("invalid_request_error", "Validation"),
    503: ("overloaded_error", "Overloaded"),
    504: ("timeout_error", "Timeout"),
}
_OTHER = ("server_error", "Backend")


class Problem(Exception):  # noqa: N818 -- what a client gets, not what went wrong in here
    """A request that is not served.

    Attributes:
        status: Of the HTTP answer.
        message: What is wrong, with the offending value and the remedy.
        retry_after: Seconds after which it is worth while to try again, where it is.
        close: Whether the connection is of no further use.
        fields: Which fields of the body are not as they should be.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        retry_after: float | None = None,
        close: bool = False,
        fields: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after
        self.close = close
        self.fields = list(fields)

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to the answer."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if self.close:
            headers["Connection"] = "close"
        return headers


def shown(value: object) -> str:
    """What stands for a value of a body in a message: a text may be long, and is not repeated.

    Example:
        >>> shown(-1), shown(True), shown("who was it?"), shown(["a"])
        ('-1', 'true', 'a string', 'an array')
    """
    if value is None or isinstance(value, (bool, int, float)):
        return f"{json.dumps(value):.40}"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def as_body(problem: Problem, *, tei: bool = False) -> dict[str, Any]:
    """The answer's body, as the client's dialect has it."""
    kind, tei_kind = _TYPES.get(problem.status, _OTHER)
    # Several clients read nothing else; those of infinity go through a list, but of a 422 only.
    detail: Any = problem.message
    if problem.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        detail = problem.fields or [
            {"loc": ["body"], "msg": problem.message, "type": "value_error"}
        ]
    common = {"message": problem.message, "detail": detail}
    if tei:
        return {"error": problem.message, "error_type": tei_kind, **common}
    return {
        **common,
        "error": {"message": problem.message, "type": kind, "code": problem.status},
    }
