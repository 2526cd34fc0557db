"""The texts of one request: asked for, and halved where the server finds them too many."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rag_rerankers.remote.answers import Answer, both, refusal
from rag_rerankers.remote.deadline import Deadline
from rag_rerankers.remote.dialects import Dialect
from rag_rerankers.remote.endpoint import Endpoint
from rag_rerankers.remote.messages import Reply, Steps
from rag_rerankers.remote.retrying import Retrying

__all__ = ["Limit", "ask_part", "parts"]

_TOO_LARGE = 413


class Limit:
    """How many texts a server takes at once; it only ever gets smaller."""

    def __init__(self, texts: int) -> None:
        self.texts = texts

    def lower(self, texts: int) -> None:
        """Remember that so many are taken, and more are not."""
        self.texts = max(1, min(self.texts, texts))


def parts(n_texts: int, limit: int) -> list[slice]:
    """Slices of at most ``limit`` texts, as even as they can be.

    Example:
        >>> parts(5, 2)
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
        >>> parts(33, 32)
        [slice(0, 17, None), slice(17, 33, None)]
    """
    n_parts = -(-n_texts // limit)
    size, more = divmod(n_texts, n_parts) if n_parts else (0, 0)
    ends = [size * i + min(i, more) for i in range(n_parts + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def ask_part(
    dialect: Dialect,
    query: str,
    texts: Sequence[str],
    limit: Limit,
    endpoint: Endpoint,
    retrying: Retrying,
    deadline: Deadline,
) -> Steps[Answer]:
    """Ask for the scores of texts, in one request if the server takes them.

    Raises:
        RemoteError: It gives none, or not in this dialect.
    """
    largest = limit.texts
    if len(texts) <= largest:
        reply: Reply = yield from retrying.ask(dialect.request(query, texts), endpoint, deadline)
        if reply.status == 200:
            return dialect.read(reply, len(texts), endpoint)
        if reply.status != _TOO_LARGE or len(texts) == 1:
            raise refusal(reply, dialect.url, endpoint)
        largest = -(-len(texts) // 2)
    answers = []
    for part in parts(len(texts), largest):
        settings = (limit, endpoint, retrying, deadline)
        answers.append((yield from ask_part(dialect, query, texts[part], *settings)))
    # Not before: where one text alone is too large, smaller requests would not have helped.
    limit.lower(largest)
    return both(answers)
