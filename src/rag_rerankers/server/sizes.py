"""How large a request is, before any model has seen it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["estimated_tokens"]

_BYTES = 4
"""UTF-8 bytes a token: English has 4 to 5, Chinese about 4 (a character and a third)."""


def estimated_tokens(query: str, texts: Sequence[str]) -> int:
    """About how many tokens a request has, within a factor of two.

    What a model cuts is counted too: it has been tokenized by then, which takes memory.

    Args:
        query: It is read again with every text.
        texts: The candidates.

    Example:
        >>> estimated_tokens("what is a panda?", ["hi", "The giant panda is a bear."])
        18
    """
    own = _tokens(query)
    return sum(own + _tokens(text) for text in texts)


def _tokens(text: str) -> int:
    # Counting bytes without making them: a hundred thousand characters need no copy.
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return 1 + size // _BYTES
