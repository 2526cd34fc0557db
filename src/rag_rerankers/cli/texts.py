"""Texts from a file: one a line, or JSON objects with ``text``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["read_texts"]


def read_texts(path: Path) -> Iterator[str]:
    """Texts of a file, one by one; ``-`` is stdin.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line of a ``.jsonl`` file is not an object with a text; the message names it.
    """
    if str(path) == "-":
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if path.suffix != ".jsonl":
                yield line.rstrip("\n")
                continue
            try:
                text = json.loads(line)["text"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path}:{number} is not an object with 'text': {line.rstrip():.80}"
                ) from error
            if not isinstance(text, str):
                raise ValueError(  # noqa: TRY004
                    f"{path}:{number}: 'text' is not a string: {line.rstrip():.80}"
                )
            yield text
