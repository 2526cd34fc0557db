"""A text cut at the borders of its tokens, without breaking what is one character to the eye."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rag_rerankers.explanation.records import Token

__all__ = ["Segment", "segments"]

_JOINER = "\u200d"
_SELECTORS = {"\ufe0e", "\ufe0f"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a text.

    Attributes:
        text: The characters; all segments joined are the text.
        tokens: Indices of the tokens that it holds; none between tokens. Several where they share
            a character.
        inside: Whether the model compared it; False before and behind what it read.
    """

    text: str
    tokens: tuple[int, ...] = ()
    inside: bool = True


def segments(text: str, tokens: Sequence[Token]) -> list[Segment]:
    """Cut a text.

    A tokenizer that cannot tell where its tokens stand leaves a row of tokens instead of the text.

    Args:
        text: What was tokenized.
        tokens: In the order of the text, special ones included.

    Example:
        >>> found = segments("a bear", [Token("[CLS]", "special"), Token("bear", "text", (2, 6))])
        >>> [(segment.text, segment.tokens, segment.inside) for segment in found]
        [('a ', (), False), ('bear', (1,), True)]
    """
    own = [i for i, token in enumerate(tokens) if token.kind not in {"special", "expansion"}]
    located = [(*span, i) for i in own if (span := tokens[i].span) is not None]
    if own and not located:
        row = [Segment(tokens[i].text, (i,)) for i in own]
        return [part for segment in row for part in (segment, Segment(" "))][:-1]
    groups: list[tuple[int, int, tuple[int, ...]]] = []
    for start, end, i in sorted(located):
        start, end = _whole(text, start, end)
        if groups and start < groups[-1][1]:
            before, behind, members = groups.pop()
            groups.append((before, max(end, behind), (*members, i)))
        else:
            groups.append((start, end, (i,)))
    found = []
    at = 0
    for start, end, members in groups:
        found += [Segment(text[at:start], inside=at > 0), Segment(text[start:end], members)]
        at = end
    found.append(Segment(text[at:], inside=False))
    return [segment for segment in found if segment.text]


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and _joined(text, start):
        start -= 1
    while end < len(text) and _joined(text, end):
        end += 1
    return start, end


def _joined(text: str, at: int) -> bool:
    """Whether a character belongs to the one before: accents, parts of an emoji, flags."""
    here, before = text[at], text[at - 1]
    return (
        unicodedata.category(here) in {"Mn", "Mc", "Me"}
        or _JOINER in (here, before)
        or here in _SELECTORS
        or "\U0001f3fb" <= here <= "\U0001f3ff"
        or ("\U0001f1e6" <= here <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff")
    )
