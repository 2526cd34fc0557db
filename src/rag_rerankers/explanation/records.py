"""The result of an explanation: frozen records without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Explanation", "Span", "Token", "TokenKind", "TokenMatch"]

Span = tuple[int, int]
"""First character and the one behind the last, as in ``text[start:end]``."""

TokenKind = Literal["text", "special", "expansion", "skipped"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token that the model read.

    Attributes:
        text: What it stands for, as people read it: a piece of the text, or ``[CLS]``; ``␣`` for
            white space. Where several tokens share one character, each has all of it.
        kind: ``"text"``; ``"special"`` (markers and prompts, such as ``[CLS]``); ``"expansion"``
            (fills up a query, such as ``[MASK]``; it counts in the score); ``"skipped"`` (read,
            but not compared, such as punctuation).
        span: Its characters in the query or the text as the caller gave it. None where it stands
            for none of them, and for every token of a tokenizer that cannot tell.
    """

    text: str
    kind: TokenKind
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class TokenMatch:
    """A token of the query and the token of the text that is most similar to it.

    Attributes:
        token: Of the query; never a skipped one.
        matched: Of the text; the first of several that are equally similar.
        index: Where that one stands in :attr:`Explanation.tokens`.
        similarity: Dot product of their vectors: the cosine, -1 to 1, for models that scale them
            to unit length, as nearly all do.
    """

    token: Token
    matched: Token
    index: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a text has its score: what :meth:`rag_rerankers.Reranker.explain` returns.

    The score is the sum of the similarities of :attr:`matches`, or their mean.

    Attributes:
        query: As the caller gave it.
        text: As the caller gave it.
        score: The raw score, as :meth:`rag_rerankers.Reranker.rank` gives it.
        relevance: The same on the scale 0..1.
        mean: Whether the model takes the mean of the similarities instead of their sum.
        matches: One for each query token that is compared, in the order of the query.
        tokens: All that the model read of the text; of a long one that is read in windows, the
            window that scored best.
        similarities: Every query token with every token of the text, shape (matches, tokens);
            -inf for skipped tokens, which nothing can match.

    Example:
        >>> panda, bear, dot = Token("panda", "text"), Token("bear", "text"), Token(".", "skipped")
        >>> explanation = Explanation(
        ...     query="panda",
        ...     text="bear.",
        ...     score=0.5,
        ...     relevance=0.5,
        ...     mean=False,
        ...     matches=(TokenMatch(panda, bear, 0, 0.5),),
        ...     tokens=(bear, dot),
        ...     similarities=((0.5, float("-inf")),),
        ... )
        >>> explanation.contributions
        (0.5, 0.0)
    """

    query: str
    text: str
    score: float
    relevance: float
    mean: bool
    matches: tuple[TokenMatch, ...]
    # Thousands of numbers: no use in a repr.
    tokens: tuple[Token, ...] = field(repr=False)
    similarities: tuple[tuple[float, ...], ...] = field(repr=False)

    @property
    def contributions(self) -> tuple[float, ...]:
        """How much of the score each token of the text holds; they add up to the score."""
        held = [0.0] * len(self.tokens)
        for match in self.matches:
            held[match.index] += match.similarity
        parts = len(self.matches) if self.mean else 1
        return tuple(value / parts for value in held)

    @property
    def passage(self) -> Span | None:
        """The part of the text that was compared; None where it has no characters to tell by."""
        spans = [token.span for token in self.tokens if token.span is not None]
        if not spans:
            return None
        return min(start for start, _ in spans), max(end for _, end in spans)

    def to_text(self, width: int = 80) -> str:
        """A table for a terminal.

        Args:
            width: Columns that no line exceeds; at least 20.

        Raises:
            ValueError: ``width`` is less.
        """
        from rag_rerankers.explanation.table import render_table

        return render_table(self, width)

    def to_html(self) -> str:
        """A page that opens from disk, without network or scripts: the text and a heat map."""
        from rag_rerankers.explanation.page import render_page

        return render_page(self)

    def _repr_html_(self) -> str:
        from rag_rerankers.explanation.page import render_article

        return render_article(self)
