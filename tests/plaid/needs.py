"""What the tests of PLAID need, and the word to skip with where it is absent."""

from __future__ import annotations

import pytest

from rag_rerankers.errors import MissingExtraError
from rag_rerankers.plaid import colbert_ai

__all__ = ["needs_colbert"]


def needs_colbert() -> None:
    """Skip the test, or the module, where colbert-ai or faiss is not installed."""
    try:
        colbert_ai.load()
    except MissingExtraError as error:
        pytest.skip(f"needs the extra {error.extra!r}", allow_module_level=True)
