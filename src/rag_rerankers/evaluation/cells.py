"""Cells of a CSV that a spreadsheet takes as text and not as a formula."""

from __future__ import annotations

__all__ = ["as_cell", "as_written"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_cell(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would run it.

    Example:
        >>> as_cell("=1+1"), as_cell("1+1")
        ("'=1+1", '1+1')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_written(cell: str) -> str:
    """The text that :func:`as_cell` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
