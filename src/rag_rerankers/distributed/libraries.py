"""Ray and pyarrow, which come with the extra ``ray``."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from rag_rerankers.errors import MissingExtraError

__all__ = ["EXTRA", "FEATURE", "needed"]

EXTRA = "ray"
FEATURE = "scoring on many machines (rag_rerankers.distributed)"


def needed(module: str, feature: str) -> ModuleType:
    """Import a library of the extra.

    Args:
        module: Its name.
        feature: What needs it, for the message.

    Raises:
        MissingExtraError: It is not installed; the message holds the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise  # the library is there, and something of its own is missing
        raise MissingExtraError(feature, EXTRA) from error
