"""How large a request is, before any model has seen it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["estimated_tokens"]

_BYTES = 4
"""UTF-8 bytes a token: English has 4 to 5, Chinese about 4 (a character and a third)."""


def estimated_tokens(query: str, texts: Sequence[str], max_length: int | None = None) -> int:
    """About how many tokens a model reads, within a factor of two.

    Args:
        query: It is read again with every text.
        texts: The candidates.
        max_length: Tokens of a text at most, as the rest is cut. None: nothing is cut.

    Example:
        >>> estimated_tokens("what is a panda?", ["hi", "The giant panda is a bear."])
        18
    """
    own = _tokens(query)
    total = 0
    for text in texts:
        tokens = own + _tokens(text)
        total += tokens if max_length is None else min(tokens, max_length)
    return total


def _tokens(text: str) -> int:
    # Counting bytes without making them: a hundred thousand characters need no copy.
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return 1 + size // _BYTES
