"""Our models behind LangChain's own cross-encoder interface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langchain_core.cross_encoders import BaseCrossEncoder
from rag_rerankers import Reranker
from rag_rerankers.reranker import check_query

from langchain_rag_rerankers.model import ModelFields

__all__ = ["RagCrossEncoder"]


class RagCrossEncoder(ModelFields, BaseCrossEncoder):
    """Scores pairs of texts, for LangChain's ``CrossEncoderReranker`` and whatever else takes one.

    ``CrossEncoderReranker`` throws the scores away after sorting; :class:`RagRerank` keeps them.

    Pairs of one query are scored together, as one batch. ``scores`` is ``"relevance"`` by
    default: raw scores of a sum of maxima grow with the length of the query, so only relevance can
    be compared between the queries that one call may mix, or between models. ``"raw"`` is the
    better choice where relevance saturates at 0 or 1 and the order of the extremes matters.

    Example:
        >>> class Length:
        ...     def score(self, query, texts):
        ...         return [float(len(text)) for text in texts]
        >>> RagCrossEncoder(model=Length(), scores="raw").score([("q", "ccc"), ("p", "a")])
        [3.0, 1.0]
    """

    def model_post_init(self, context: Any, /) -> None:
        """Refuse at construction what could only fail at first use."""
        super().model_post_init(context)
        ready = self.model if isinstance(self.model, Reranker) else None
        if "keep_order" in {self.on_failure, ready.options.on_failure if ready else ""}:
            raise ValueError(
                "on_failure='keep_order' leaves scores out, which a cross-encoder cannot: use "
                "RagRerank, or on_failure='raise'"
            )

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Score pairs of query and text.

        Args:
            text_pairs: Pairs ``(query, text)``; queries may repeat and mix.

        Returns:
            One score per pair, in the order of the pairs; higher is better.

        Raises:
            ValueError: A query is None.
            TypeError: Something that is not a pair of strings; the message names its index.
            ModelLoadError: The model cannot be loaded.
        """
        groups = _by_query(text_pairs)
        scores: dict[int, float] = {}
        if groups:
            reranker = self._load()
            for query, members in groups.items():
                for hit in reranker.rank(query, [text for _, text in members]):
                    scores[members[hit.index][0]] = self._score_of(hit)
        return [scores[i] for i in range(len(scores))]


def _by_query(text_pairs: Iterable[tuple[str, str]]) -> dict[str, list[tuple[int, str]]]:
    """Group pairs by query: query -> [(position of the pair, text), ...]."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for i, pair in enumerate(text_pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"pair {i} must be (query, text), not {pair!r:.100}")
        query, text = pair
        try:
            check_query(query)
        except (TypeError, ValueError) as error:
            raise type(error)(f"pair {i}: {error}") from None
        if not isinstance(text, str):
            raise TypeError(f"pair {i}: the text is not a string but {text!r:.100}")
        groups.setdefault(query, []).append((i, text))
    return groups
