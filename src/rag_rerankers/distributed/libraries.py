"""Ray and pyarrow, which come with the extra ``ray``."""

from __future__ import annotations

from types import ModuleType

from rag_rerankers import extras

__all__ = ["EXTRA", "FEATURE", "needed"]

EXTRA = "ray"
FEATURE = "scoring on many machines (rag_rerankers.distributed)"


def needed(module: str, feature: str = FEATURE) -> ModuleType:
    """Import a library of the extra.

    Raises:
        MissingExtraError: It is not installed; the message holds the command that installs it.
    """
    return extras.needed(module, feature, EXTRA)
