"""What a scorer knows of its server: how to speak to it, what it takes, what its scores are."""

from __future__ import annotations

from collections.abc import Sequence

from rag_rerankers.errors import RemoteError
from rag_rerankers.remote.answers import Answer, UnreadableError
from rag_rerankers.remote.asking import Limit
from rag_rerankers.remote.detection import Detected
from rag_rerankers.remote.dialects import are_relevance, relevance_of_numbers
from rag_rerankers.types import CalibratedScores

__all__ = ["Known", "is_failure", "may_be_another"]


class Known:
    """A server that was found out.

    Args:
        detected: What detection found.

    Attributes:
        dialect: How it is spoken to.
        limit: How many texts it takes at once.
        logits: Whether its scores are logits; once they were seen to be, they are.
    """

    def __init__(self, detected: Detected) -> None:
        self.dialect = detected.dialect
        self.limit = Limit(detected.dialect.limit)
        native = detected.dialect.name == "native"
        self.logits = detected.logits or detected.dialect.logits or native

    def relevance(self, scores: Sequence[float]) -> list[float]:
        """What scores are on the scale 0..1, as far as the server was understood."""
        return relevance_of_numbers(scores, logits=self.logits)

    def calibrated(self, answer: Answer) -> CalibratedScores:
        """An answer as a scorer returns it; its numbers may show what the server gives."""
        if answer.relevance is not None:
            return CalibratedScores(answer.scores, answer.relevance)
        self.logits = self.logits or not are_relevance(answer.scores)
        return CalibratedScores(answer.scores, self.relevance(answer.scores))


def may_be_another(error: RemoteError) -> bool:
    """Whether an error looks as if another server stood at the same place by now."""
    return isinstance(error, UnreadableError) or error.status in {400, 404, 405, 422, 501}


def is_failure(error: RemoteError) -> bool:
    """Whether the server failed; one that refuses works."""
    if isinstance(error, UnreadableError) or error.status is None:
        return True
    return error.status >= 500
