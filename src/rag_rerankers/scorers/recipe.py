"""How a late-interaction model wants its queries and documents: markers, lengths, expansion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rag_rerankers.tokenization import TokenSequence

__all__ = ["Recipe", "Side"]


@dataclass(frozen=True, slots=True)
class Side:
    """What is done to one kind of text.

    Attributes:
        max_length: Tokens at most, special tokens and marker included.
        marker: Id put behind the first special token (``[unused0]``, ``[Q] ``), or None.
        prompt: Text put before the text, or empty.
        skip: Ids whose vectors are dropped before scoring.
    """

    max_length: int
    marker: int | None = None
    prompt: str = ""
    skip: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything about a late-interaction model that is not a weight.

    Attributes:
        query, document: What is done to either kind of text.
        before, after: Special ids around a text (``[CLS]`` and ``[SEP]``).
        expand_to: Queries shorter than this are filled with ``expansion`` tokens; 0 for none.
        expand: ``"fixed"`` cuts longer queries to ``expand_to``, ``"min"`` lets them be longer.
        expansion: Id that fills queries, ``[MASK]`` as a rule. Its vectors count in the score.
        attend_expansion: Whether the other tokens may look at the filling.
        replaced: Id that becomes ``expansion`` wherever it stands in a query, or None.
        normalize: Whether vectors are scaled to unit length.
        mean: Whether the score is the mean over query vectors, not the sum.
        strip: Whether white space around a text is dropped first.
        filler: Id that stands for an empty text where the tokenizer adds no special tokens.
    """

    query: Side
    document: Side
    before: tuple[int, ...]
    after: tuple[int, ...]
    expand_to: int = 0
    expand: Literal["fixed", "min"] = "fixed"
    expansion: int = 0
    attend_expansion: bool = False
    replaced: int | None = None
    normalize: bool = True
    mean: bool = False
    strip: bool = False
    filler: int = 0

    def prepare(self, text: str, side: Side) -> str:
        """The text as it goes into the tokenizer."""
        return side.prompt + (text.strip() if self.strip else text)

    def shift(self, text: str, side: Side) -> int:
        """How many characters further right the text stands in :meth:`prepare`'s."""
        return len(side.prompt) - (len(text) - len(text.lstrip()) if self.strip else 0)

    def room(self, side: Side, n_prompt: int) -> int:
        """Tokens that are left for the text itself.

        Args:
            side: Query or document.
            n_prompt: Tokens of the side's prompt.
        """
        marker = side.marker is not None
        return side.max_length - len(self.before) - len(self.after) - marker - n_prompt

    def wrap(self, ids: Sequence[int], side: Side) -> list[int]:
        """Put specials and marker around ids that have been cut already."""
        marker = () if side.marker is None else (side.marker,)
        wrapped = [*self.before[:1], *marker, *self.before[1:], *ids, *self.after]
        return wrapped or [self.filler]

    def query_sequence(self, ids: Sequence[int]) -> TokenSequence:
        """The finished query: wrapped, filled, with the filling hidden from the others."""
        wrapped = self.wrap(ids, self.query)
        n_real = len(wrapped)
        filled = wrapped + [self.expansion] * (self.expand_to - n_real)
        if self.replaced is not None:
            filled = [self.expansion if id_ == self.replaced else id_ for id_ in filled]
        return TokenSequence(filled, attended=None if self.attend_expansion else n_real)

    def document_sequence(self, ids: Sequence[int]) -> TokenSequence:
        """The finished document."""
        return TokenSequence(self.wrap(ids, self.document))
