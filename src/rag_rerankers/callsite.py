"""Where the user called this package, so that a warning can point there.

``arank`` works in a thread whose stack does not lead back to the caller: it notes the place in a
context variable first.
"""

from __future__ import annotations

import contextvars
import sys
from typing import NamedTuple

__all__ = ["Place", "called_from", "place_of_caller"]

_PACKAGE = __name__.partition(".")[0] + "."


class Place(NamedTuple):
    """A line of code, as ``warnings.warn_explicit`` wants it."""

    filename: str
    lineno: int
    module: str


called_from: contextvars.ContextVar[Place | None] = contextvars.ContextVar(
    "rag_rerankers_called_from", default=None
)


def place_of_caller() -> Place:
    """The nearest frame outside this package, or what was noted before a change of threads."""
    noted = called_from.get()
    if noted is not None:
        return noted
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__", ""))
