"""Explanations made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rag_rerankers import Explanation, TokenMatch
from rag_rerankers.explanation import Token, TokenKind

__all__ = ["made", "small", "words"]


def words(text: str, kind: TokenKind = "text") -> list[Token]:
    """A token for each word that spaces part."""
    found = []
    at = 0
    for word in text.split(" "):
        if word:
            found.append(Token(word, kind, (at, at + len(word))))
        at += len(word) + 1
    return found


def made(
    query: str,
    text: str,
    asked: Sequence[Token],
    tokens: Sequence[Token],
    similarities: Sequence[Sequence[float]],
    *,
    mean: bool = False,
) -> Explanation:
    """An explanation whose matches are the best of each row."""
    matches = []
    for token, row in zip(asked, similarities, strict=True):
        index = list(row).index(max(row))
        matches.append(TokenMatch(token, tokens[index], index, row[index]))
    total = sum(match.similarity for match in matches)
    return Explanation(
        query=query,
        text=text,
        score=total / len(matches) if mean else total,
        relevance=min(1.0, max(0.0, total / len(matches))),
        mean=mean,
        matches=tuple(matches),
        tokens=tuple(tokens),
        similarities=tuple(map(tuple, similarities)),
    )


def small(*, mean: bool = False) -> Explanation:
    """Six query tokens, two of which fill up; ``bear`` and ``[SEP]`` are matched, and ``eats``."""
    never = -math.inf
    asked = [
        Token("[CLS]", "special"),
        *words("panda food"),
        Token("[SEP]", "special"),
        Token("[MASK]", "expansion"),
        Token("[MASK]", "expansion"),
    ]
    tokens = [
        Token("[CLS]", "special"),
        Token("A", "text", (0, 1)),
        Token("bear", "text", (2, 6)),
        Token(",", "skipped", (6, 7)),
        Token("eats", "text", (8, 12)),
        Token("[SEP]", "special"),
    ]
    similarities = [
        [0.25, 0.0, 0.125, never, 0.0, 0.5],
        [0.0, 0.0, 0.75, never, 0.25, 0.0],
        [0.0, 0.125, 0.25, never, 0.875, 0.0],
        [0.0, -0.5, -0.25, never, -0.5, -0.125],
        [0.0, 0.0, 0.5, never, 0.0, 0.0],
        [0.0, 0.0, 0.25, never, 0.0, 0.125],
    ]
    # [SEP] matches nothing well: [CLS], by 0.
    return made("panda food", "A bear, eats it", asked, tokens, similarities, mean=mean)
