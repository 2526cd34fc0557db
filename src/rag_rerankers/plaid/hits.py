"""What a search gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PlaidHit"]


@dataclass(frozen=True, slots=True)
class PlaidHit:
    """One passage that was found.

    Attributes:
        id: The passage's id, as it was given to the index.
        text: Its text.
        score: The model's raw score, a sum of maxima: exact, or estimated from the index.
        relevance: The same on the scale 0..1.
        metadata: What was given with the passage; a copy of one's own.
    """

    id: str
    text: str
    score: float
    relevance: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
