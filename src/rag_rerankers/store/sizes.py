"""Sizes as people write them."""

from __future__ import annotations

import re

__all__ = ["parse_size", "size_text"]

_UNITS = ("B", "KB", "MB", "GB", "TB")
_STEP = 1000


def parse_size(text: str) -> int:
    """Bytes of a size such as ``20GB`` or ``1.5 TB``; a bare number is bytes.

    Raises:
        ValueError: It is not a size.

    Example:
        >>> parse_size("1.5 GB"), parse_size("4096")
        (1500000000, 4096)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B)?\s*", text, re.IGNORECASE)
    if found is None:
        raise ValueError(f"{text!r} is not a size: write a number and {', '.join(_UNITS)}")
    number, unit = found.groups()
    return int(float(number) * _STEP ** _UNITS.index((unit or "B").upper()))


def size_text(size: int) -> str:
    """Bytes in the unit that suits them.

    Example:
        >>> size_text(999), size_text(23_456), size_text(4_700_000_000)
        ('999 B', '23.5 KB', '4.7 GB')
    """
    number, unit = float(size), 0
    while number >= _STEP and unit < len(_UNITS) - 1:
        number, unit = number / _STEP, unit + 1
    return f"{size} B" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"
