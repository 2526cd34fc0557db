"""Texts and numbers as a page and a terminal show them."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from rag_rerankers.tokenization import well_formed

if TYPE_CHECKING:
    from rag_rerankers.explanation.records import Explanation

__all__ = ["escaped", "number", "one_line", "printable", "scale", "share"]

# Controls, but not white space; noncharacters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
# They would turn the rest of a line around.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text without what neither HTML nor a terminal can hold."""
    return _UNPRINTABLE.sub("\ufffd", well_formed(text))


def escaped(text: str) -> str:
    """The text as HTML, for elements and attributes alike."""
    return escape(printable(text))


def one_line(text: str, length: int = 24) -> str:
    r"""The text on one line, cut where it is longer.

    Example:
        >>> one_line("a\n  panda"), one_line("x" * 30, 5)
        ('a panda', 'xxxx…')
    """
    line = _TURNING.sub("", " ".join(printable(text).split()))
    return line if len(line) <= length else line[: length - 1] + "…"


def number(value: float, digits: int = 3) -> str:
    """A similarity or a score, with a real minus sign.

    Example:
        >>> number(0.12345), number(-0.5, 2), number(-0.0001)
        ('0.123', '−0.50', '0.000')
    """
    text = f"{abs(value):.{digits}f}"
    return f"\N{MINUS SIGN}{text}" if value < 0 and float(text) else text


def scale(explanation: Explanation) -> float:
    """The similarity that a full bar stands for: 1, or the best where vectors are longer."""
    return max([1.0, *(match.similarity for match in explanation.matches)])


def share(value: float) -> str:
    """A part of a whole as CSS takes it: 0 to 1.

    Example:
        >>> share(0.256), share(-0.1)
        ('0.26', '0.00')
    """
    return f"{min(1.0, max(0.0, value)):.2f}"
