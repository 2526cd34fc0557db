"""What the demo asks of a framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from ragdemo.models import Endpoint
from ragdemo.passages import Passage
from ragdemo.record import Found, Hit

__all__ = ["OpenSearch", "Search", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What a framework's chain needs to know.

    Attributes:
        model: The reranker.
        candidates: How many passages the first stage hands over.
        chroma: Folder of Chroma's files.
        collection: Name of the collection.
    """

    model: str
    candidates: int
    chroma: Path
    collection: str


class Search(Protocol):
    """The chain, in either framework."""

    def search(self, question: str) -> Found:
        """Retrieve and rerank all candidates."""
        ...

    def answer(self, question: str, endpoint: Endpoint) -> tuple[str, list[Hit]]:
        """Run the whole chain: the answer, and the passages that the LLM was given."""
        ...


OpenSearch = Callable[[Settings, Sequence[Passage], Console], Search]
