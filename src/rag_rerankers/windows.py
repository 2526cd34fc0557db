"""Cuts a long document into what the model can read."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from rag_rerankers.callsite import place_of_caller
from rag_rerankers.errors import TruncationWarning
from rag_rerankers.metering import count

__all__ = ["Passages", "best_per_document", "split_documents", "warn_if_cut", "windows"]

OVERLAP = 4
"""Neighbours share 1/4 of their tokens, so that a sentence at a border is whole in one of them."""


def windows(n_tokens: int, size: int) -> list[slice]:
    """Overlapping windows that cover all tokens.

    Every window is full: the last one ends with the document and overlaps its neighbour more,
    instead of being a scrap of a few tokens without context.

    Args:
        n_tokens: Length of the document.
        size: Length of a window.

    Example:
        >>> windows(3, 8)
        [slice(0, 3, None)]
        >>> windows(16, 8)
        [slice(0, 8, None), slice(6, 14, None), slice(8, 16, None)]
    """
    if n_tokens <= size:
        return [slice(0, n_tokens)]
    step = max(1, size - size // OVERLAP)
    starts = [*range(0, n_tokens - size, step), n_tokens - size]
    return [slice(start, start + size) for start in starts]


@dataclass(frozen=True, slots=True)
class Passages:
    """What is left of the documents after the cut.

    Attributes:
        ids: Token ids of every passage.
        document: For every passage, the index of the document that it is part of.
        n_documents: How many documents there were.
        cut: Indices of the documents that lost tokens.
    """

    ids: list[Sequence[int]]
    document: list[int]
    n_documents: int
    cut: tuple[int, ...] = ()

    @property
    def n_cut(self) -> int:
        """How many documents lost tokens."""
        return len(self.cut)


def split_documents(ids: Sequence[Sequence[int]], size: int, long_documents: str) -> Passages:
    """Make every document fit: cut it, or split it into windows.

    Args:
        ids: Token ids of every document.
        size: Tokens that fit.
        long_documents: ``"truncate"`` or ``"max_passage"``.
    """
    if long_documents == "truncate":
        return Passages(
            ids=[document[:size] for document in ids],
            document=list(range(len(ids))),
            n_documents=len(ids),
            cut=tuple(index for index, document in enumerate(ids) if len(document) > size),
        )
    passages: list[Sequence[int]] = []
    owner: list[int] = []
    for index, document in enumerate(ids):
        for window in windows(len(document), size):
            passages.append(document[window])
            owner.append(index)
    return Passages(passages, owner, n_documents=len(ids))


def best_per_document(scores: Sequence[float], passages: Passages) -> list[float]:
    """The score of each document: that of its best passage."""
    best = [float("-inf")] * passages.n_documents
    for score, document in zip(scores, passages.document, strict=True):
        # A NaN wins over everything, so that it is refused later and not hidden.
        if math.isnan(score) or score > best[document]:
            best[document] = score
    return best


def warn_if_cut(
    n_cut: int, n_documents: int, size: int, query_tokens: int, query_size: int
) -> None:
    """Warn, once for the whole call, that the model did not read everything.

    Args:
        n_cut: Documents that were cut.
        n_documents: Of how many.
        size: Tokens of a document that fit.
        query_tokens: Tokens of the query before the cut.
        query_size: Tokens of the query that fit.
    """
    count(cut=n_cut)
    told = []
    if n_cut:
        told.append(
            f"{n_cut} of {n_documents} texts were cut to their first {size} "
            "tokens (long_documents='max_passage' reads all of them)"
        )
    if query_tokens > query_size:
        told.append(f"the query was cut from {query_tokens} to {query_size} tokens")
    if told:
        warnings.warn_explicit("; ".join(told), TruncationWarning, *place_of_caller())
