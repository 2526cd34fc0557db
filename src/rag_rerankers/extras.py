"""Libraries that come with an extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from rag_rerankers.errors import MissingExtraError

__all__ = ["needed"]


def needed(module: str, feature: str, extra: str = "eval") -> ModuleType:
    """Import a library of an extra.

    Raises:
        MissingExtraError: It is not installed; the message holds the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise  # the library is there, and something of its own is missing
        raise MissingExtraError(feature, extra) from error
