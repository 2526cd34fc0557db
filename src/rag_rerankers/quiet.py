"""Keeps transformers from warning about what is checked here anyway."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

__all__ = ["quiet_transformers"]


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Let only errors of transformers' model code through."""
    noisy = logging.getLogger("transformers.modeling_utils")
    noisy.addFilter(_is_error)
    try:
        yield
    finally:
        noisy.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
