"""What a server answers, checked: every text has one finite score, or it is an error."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rag_rerankers.errors import RemoteError
from rag_rerankers.remote.endpoint import Endpoint, is_url, shown
from rag_rerankers.remote.messages import Reply

__all__ = [
    "Answer",
    "UnreadableError",
    "both",
    "excerpt",
    "parsed",
    "read_hits",
    "refusal",
    "tokens_of",
]


class UnreadableError(RemoteError):
    """A server answered with something that is no ranking in the expected shape."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Scores of some texts, in their order.

    Attributes:
        scores: One number per text.
        relevance: The server's own relevance of each; None if it did not tell.
        tokens: How many it read; 0 if it did not tell.
    """

    scores: list[float]
    relevance: list[float] | None = None
    tokens: int = 0


def excerpt(body: bytes, endpoint: Endpoint) -> str:
    """The beginning of an answer, on one line and without secrets."""
    text = " ".join(endpoint.clean(body[:4000].decode("utf-8", "replace")).split())
    return (text[:200] + "..." if len(text) > 200 else text) or "(nothing)"


def parsed(reply: Reply) -> Any:
    """The JSON of an answer; None if it is none."""
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None


def refusal(reply: Reply, url: str, endpoint: Endpoint) -> RemoteError:
    """The error for an answer whose status is not 200."""
    status = reply.status
    told = f"{url} answered {status}: {excerpt(reply.body, endpoint)}"
    if 300 <= status < 400:
        place = reply.headers.get("location", "elsewhere")
        place = shown(place) if is_url(place) else place.partition("?")[0]
        told = (
            f"{url} answered {status} and points to {endpoint.clean(place)[:200]}: redirects are "
            "not followed, as texts and key would go there. Give that URL, if you trust it"
        )
    elif status in {401, 403}:
        remedy = "give the key as api_key= or in RAG_RERANKERS_API_KEY"
        if endpoint.authorization is not None:
            remedy = "the key that was given is not accepted there"
        told = f"{told}; {remedy}"
    return RemoteError(told, url=url, status=status)


def read_hits(
    hits: Any, n_texts: int, score: str, relevance: str | None = None
) -> tuple[list[float], list[float] | None]:
    """Bring a server's hits, which are in any order, back into that of the texts.

    Args:
        hits: What should be a list of objects with ``index`` and score.
        n_texts: How many texts were sent.
        score: The score's name.
        relevance: The relevance's name, if there must be one.

    Returns:
        Scores and relevance.

    Raises:
        ValueError: A text has no score, or two; an index, a score or a relevance is no such thing.

    Example:
        >>> read_hits([{"index": 1, "score": 0.5}, {"index": 0, "score": -2}], 2, "score")
        ([-2.0, 0.5], None)
    """
    if not isinstance(hits, list):
        raise ValueError(f"where the hits should be is {_kind(hits)}")  # noqa: TRY004
    scores: list[float | None] = [None] * n_texts
    relevances = [0.0] * n_texts
    for place, hit in enumerate(hits):
        index = hit.get("index") if isinstance(hit, dict) else None
        if isinstance(index, bool) or not isinstance(index, int):
            raise ValueError(f"hit {place} has no index")  # noqa: TRY004 -- data, no argument
        if not 0 <= index < n_texts:
            raise ValueError(f"hit {place} has the index {index}, but {n_texts} texts were sent")
        if scores[index] is not None:
            raise ValueError(f"index {index} comes twice")
        scores[index] = _number(hit, score, index)
        if relevance is not None:
            relevances[index] = _number(hit, relevance, index)
            if not 0.0 <= relevances[index] <= 1.0:
                raise ValueError(f"the {relevance} of index {index} is not in 0..1")
    found = [value for value in scores if value is not None]
    if len(found) < n_texts:
        missing = [index for index, value in enumerate(scores) if value is None]
        named = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise ValueError(f"{len(missing)} of {n_texts} texts have no score, at indices {named}")
    return found, relevances if relevance is not None else None


def _number(hit: dict[str, Any], name: str, index: int) -> float:
    value = hit.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(  # noqa: TRY004 -- data, no argument
            f"the {name} of index {index} is {_kind(value)}"
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"the {name} of index {index} is not a finite number")
    return number


def _kind(value: object) -> str:
    return "nothing" if value is None else f"{value!r:.40}, no number or list"


def tokens_of(value: Any, *path: str) -> int:
    """A count somewhere in an answer; 0 if it is not there: scores do not depend on it."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def both(parts: Sequence[Answer]) -> Answer:
    """The answers to the parts of one call, joined in their order."""
    relevance = [value for part in parts for value in part.relevance or ()]
    scores = [score for part in parts for score in part.scores]
    complete = all(part.relevance is not None for part in parts)
    return Answer(scores, relevance if complete else None, sum(part.tokens for part in parts))
