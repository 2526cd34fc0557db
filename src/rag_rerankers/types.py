"""What every stage agrees on: what a scorer is, what it may know besides, and what a hit is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rag_rerankers.explanation import Explanation
    from rag_rerankers.store import Warmed

__all__ = [
    "AsyncScorer",
    "CalibratedScorer",
    "CalibratedScores",
    "ExplainingScorer",
    "RankedDocument",
    "Scorer",
    "WarmableScorer",
]


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores texts against a query.

    Any object with this one method can be given to :class:`rag_rerankers.Reranker`.

    Example:
        >>> class Overlap:
        ...     def score(self, query, texts):
        ...         words = set(query.split())
        ...         return [float(len(words & set(text.split()))) for text in texts]
        >>> isinstance(Overlap(), Scorer)
        True
    """

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score every text against the query.

        Args:
            query: The question.
            texts: The candidates; may be empty.

        Returns:
            One raw score per text, higher is better, in the order of ``texts``.
        """
        ...


@runtime_checkable
class CalibratedScorer(Scorer, Protocol):
    """A scorer that also knows what its raw scores mean on the scale 0..1.

    A scorer without this method is read as one that returns logits: its relevance is the
    logistic sigmoid of the score.
    """

    def relevance(self, query: str, scores: Sequence[float]) -> list[float]:
        """Map raw scores to 0..1, monotonically for one query.

        Args:
            query: The query that the scores belong to.
            scores: Raw scores as :meth:`Scorer.score` returned them.

        Returns:
            One number in 0..1 per score.
        """
        ...


class CalibratedScores(list[float]):
    """Scores that bring their relevance along.

    For a scorer whose relevance does not follow from query and score alone, such as a server that
    tells both: its ``score`` returns this list of raw scores, and :class:`rag_rerankers.Reranker`
    takes the relevance from it instead of asking for it.

    Args:
        scores: Raw scores, as of any scorer.
        relevance: One number in 0..1 per score; a higher score has no lower relevance.

    Example:
        >>> scores = CalibratedScores([-1.5, 7.0], relevance=[0.2, 0.9])
        >>> scores, scores.relevance
        ([-1.5, 7.0], [0.2, 0.9])
    """

    def __init__(self, scores: Iterable[float], relevance: Iterable[float]) -> None:
        super().__init__(scores)
        self.relevance = list(relevance)

    def __reduce__(self) -> tuple[type[CalibratedScores], tuple[list[float], list[float]]]:
        return type(self), (list(self), self.relevance)


@runtime_checkable
class AsyncScorer(Scorer, Protocol):
    """A scorer that asyncio can wait for without a thread.

    :meth:`rag_rerankers.Reranker.arank` awaits ``ascore`` where there is one; when its task is
    cancelled, so is this.
    """

    async def ascore(self, query: str, texts: Sequence[str]) -> list[float]:
        """:meth:`Scorer.score` for asyncio."""
        ...


@runtime_checkable
class WarmableScorer(Scorer, Protocol):
    """A scorer that can prepare texts before any query comes."""

    def warm(self, texts: Iterable[str], tell: Callable[[int], object]) -> Warmed:
        """Prepare texts.

        Args:
            texts: Any number.
            tell: To be called again and again with how many more texts are done.
        """
        ...


@runtime_checkable
class ExplainingScorer(Scorer, Protocol):
    """A scorer that also knows which token of a text each token of the query matched."""

    def explain(self, query: str, text: str) -> Explanation:
        """Take the score of one text apart.

        Args:
            query: The question.
            text: The candidate.

        Returns:
            Its score is what :meth:`Scorer.score` gives.
        """
        ...


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One hit of a ranking.

    Attributes:
        index: Position in the caller's list of texts.
        text: The text, as the caller gave it.
        score: The model's raw score: a logit, or a sum of maxima. NaN if the ranking was skipped.
        relevance: The same on the scale 0..1. NaN if the ranking was skipped.
    """

    index: int
    text: str
    score: float
    relevance: float

    @property
    def scored(self) -> bool:
        """Whether a model gave the score; False only where ``on_failure="keep_order"`` stepped in.

        Example:
            >>> RankedDocument(0, "a", 1.5, 0.8).scored
            True
        """
        return not math.isnan(self.score)
