"""Real weights, where they are on disk or the hub is near."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from rag_rerankers import ALIASES, ModelLoadError, Reranker


def hub_is_near() -> bool:
    """A quick look, so that a machine without a network does not wait."""
    if os.environ.get("HF_HUB_OFFLINE"):
        return False
    try:
        socket.create_connection(("huggingface.co", 443), timeout=3).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def real() -> Any:
    """Loads a model by its alias, or skips and says why."""
    loaded: dict[str, Reranker] = {}

    def load(alias: str, **options: Any) -> Reranker:
        chosen = {"device": "auto", "dtype": "float32", **options}
        key = f"{alias}-{chosen}"
        if key in loaded:
            return loaded[key]
        try:
            loaded[key] = Reranker(alias, local_files_only=True, **chosen)
        except ModelLoadError:
            if not hub_is_near():
                known = ALIASES[alias].id
                pytest.skip(f"{known} is neither on this machine nor is the hub reachable")
            loaded[key] = Reranker(alias, **chosen)
        return loaded[key]

    return load
