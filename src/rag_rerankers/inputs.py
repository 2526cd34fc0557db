"""What may be ranked: one query, and a list of texts; or explained: one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

__all__ = ["check_each_text", "check_query", "check_text", "check_texts"]


def check_query(query: object) -> None:
    """Refuse a query that is missing or not a string.

    Raises:
        ValueError: It is None.
        TypeError: It is anything else but a string.
    """
    if query is None:
        raise ValueError("the query is missing (None): give the question as a string")
    if not isinstance(query, str):
        raise TypeError(f"the query must be a string, not {type(query).__name__}: {query!r:.100}")


def check_text(text: object) -> None:
    """Refuse a text that is not a string.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(text, str):
        raise TypeError(
            f"the text must be a string, not {type(text).__name__}: {text!r:.100}. "
            "Several texts are explained one by one"
        )


def check_texts(texts: object) -> list[str]:
    """Return the texts as a list.

    Raises:
        TypeError: Not an iterable of strings; the message names the first bad index.
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"texts must be a list of strings, not one {type(texts).__name__}")
    if isinstance(texts, (Mapping, Set)) or not isinstance(texts, Iterable):
        raise TypeError(f"texts must be a list of strings, not {type(texts).__name__}")
    return list(check_each_text(texts))


def check_each_text(texts: Iterable[object]) -> Iterator[str]:
    """Pass texts on, one by one.

    Raises:
        TypeError: Something is not a string; the message names its index.
    """
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"text {i} is not a string but {type(text).__name__}: {text!r:.100}. "
                "Drop it, or give its text"
            )
        yield text
