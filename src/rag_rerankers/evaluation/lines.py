"""Lines of text files, plain or gzipped, with their numbers."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.problems import Problems

__all__ = ["find", "is_number", "open_text", "read_json_objects", "read_lines"]

_MALFORMED = "a malformed line"
_SKIPPED = "skips it"


def find(folder: Path, *names: str) -> Path | None:
    """The first of these files that exists, plain or with ``.gz`` behind its name."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """A text file, plain or gzipped; bytes that are not UTF-8 become lone surrogates.

    Raises:
        DataError: The file cannot be read, or is not the gzip file that its name says.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        opened = opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=newline)
        with cast("TextIO", opened) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1; UTF-8, with or without a mark.

    Raises:
        DataError: The file cannot be read, or is not the gzip file that its name says.
    """
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.isascii() and not _is_utf8(line):
                problems.add(_MALFORMED, _SKIPPED, path, number, "not UTF-8")
            elif not line.isspace():
                yield number, line.rstrip("\n")


def read_json_objects(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """JSON objects, one a line; what is none is a problem."""
    for number, line in read_lines(path, problems):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            detail = f"not JSON ({error}): {line:.80}"
            problems.add(_MALFORMED, _SKIPPED, path, number, detail)
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            detail = f"not a JSON object: {line:.80}"
            problems.add(_MALFORMED, _SKIPPED, path, number, detail)


def is_number(written: str) -> bool:
    """Whether it can be read as a number, NaN and infinities included."""
    try:
        float(written)
    except ValueError:
        return False
    return True


def _is_utf8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
