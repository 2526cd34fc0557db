"""Which dialect a server speaks: found out by asking it, the cheapest questions first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rag_rerankers.errors import RemoteError
from rag_rerankers.remote.answers import UnreadableError, parsed, refusal
from rag_rerankers.remote.deadline import Deadline
from rag_rerankers.remote.dialects import LIMITS, Dialect, Name, are_relevance
from rag_rerankers.remote.endpoint import Endpoint
from rag_rerankers.remote.messages import Reply, Request, Steps
from rag_rerankers.remote.retrying import Retrying

__all__ = ["Detected", "detect"]

_QUERY = "what is the capital of France?"
# One that answers and one that does not: numbers outside of 0..1 show that they are logits.
_TEXTS = ("Paris is the capital of France.", "Mix the flour with two eggs.")


@dataclass(frozen=True)
class Detected:
    """What was found out.

    Attributes:
        dialect: How to speak to the server.
        logits: Whether it was seen to give numbers that are no relevance.
    """

    dialect: Dialect
    logits: bool = False


@dataclass(frozen=True)
class _Asking:
    endpoint: Endpoint
    retrying: Retrying
    deadline: Deadline
    model: str | None
    limit: int | None

    def get(self, path: str) -> Steps[Any]:
        """The JSON that a path holds; None if it holds none."""
        url = self.endpoint.root + path
        reply: Reply = yield from self.retrying.ask(
            Request("GET", url), self.endpoint, self.deadline
        )
        return parsed(reply) if reply.status == 200 else None

    def dialect(self, name: Name, url: str, told: _Told, **more: Any) -> Dialect:
        limit = self.limit or (told.limit if name == "tei" else None) or LIMITS[name]
        model = self.model or (told.model if name == "cohere" else None)
        return Dialect(name, url, model, limit, _more(name, url, told.owner), **more)


@dataclass(frozen=True)
class _Told:
    """What a server says of itself."""

    owner: str = ""
    model: str | None = None
    limit: int | None = None
    is_tei: bool = False
    ids: tuple[str, ...] = field(default=())


def detect(
    endpoint: Endpoint,
    wanted: str,
    retrying: Retrying,
    deadline: Deadline,
    *,
    model: str | None = None,
    limit: int | None = None,
) -> Steps[Detected]:
    """Find out how to speak to a server.

    Args:
        endpoint: Where it is.
        wanted: A dialect, if it is known; or ``"auto"``.
        retrying: How often to ask.
        deadline: The time of the call.
        model: The model's name there, if it is known.
        limit: Texts in one request, if it is known.

    Raises:
        RemoteError: The server cannot be reached, refuses, or speaks none of the dialects.
    """
    asking = _Asking(endpoint, retrying, deadline, model, limit)
    if wanted == "native" or (wanted == "auto" and endpoint.base.endswith("/rank")):
        url = endpoint.base if endpoint.base.endswith("/rank") else endpoint.root + "/rank"
        return Detected(asking.dialect("native", url, _Told()))
    told = yield from _introduction(asking, wanted)
    if told.owner == "rag-rerankers" and wanted == "auto" and not endpoint.full:
        return Detected(asking.dialect("native", endpoint.root + "/rank", told))
    if told.is_tei and wanted != "cohere":
        url = endpoint.base if endpoint.full else endpoint.root + "/rerank"
        return Detected(asking.dialect("tei", url, told, logits=True))
    return (yield from _tried(asking, wanted, told))


def _introduction(asking: _Asking, wanted: str) -> Steps[_Told]:
    """Ask a server what it is; many do not say, and some guard what they say."""
    endpoint, told = asking.endpoint, _Told()
    if wanted != "tei" and not endpoint.full:
        told = _models((yield from asking.get("/models")))
        if not told.ids:
            told = _models((yield from asking.get("/v1/models")))
    versioned = endpoint.full and endpoint.base != endpoint.root + "/rerank"
    if wanted == "tei" or (wanted == "auto" and not told.owner and not versioned):
        info = yield from asking.get("/info")
        limit = info.get("max_client_batch_size") if isinstance(info, Mapping) else None
        if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0:
            return _Told(limit=limit, is_tei=True)
    return told


def _models(body: Any) -> _Told:
    listed = body.get("data") if isinstance(body, Mapping) else None
    models = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    ids = tuple(one["id"] for one in models if isinstance(one.get("id"), str))
    owners = {str(one.get("owned_by", "")) for one in models}
    owner = owners.pop() if len(owners) == 1 else ""
    return _Told(owner, ids[0] if len(ids) == 1 else None, ids=ids)


def _more(name: Name, url: str, owner: str) -> dict[str, Any]:
    if name == "tei":
        return {"raw_scores": True, "truncate": True}
    if name == "native":
        return {"return_texts": False}
    more: dict[str, Any] = {} if "/v2/" in url else {"return_documents": False}
    if owner == "infinity":  # others may refuse what they do not know
        more["raw_scores"] = True
    return more


def _tried(asking: _Asking, wanted: str, told: _Told) -> Steps[Detected]:
    """Rank two texts, in every dialect and at every path that may be."""
    first: RemoteError | None = None
    for url in _urls(asking.endpoint):
        for name in ("cohere", "tei") if wanted == "auto" else (wanted,):
            dialect = asking.dialect("tei" if name == "tei" else "cohere", url, told)
            request = dialect.request(_QUERY, _TEXTS)
            reply: Reply = yield from asking.retrying.ask(request, asking.endpoint, asking.deadline)
            if reply.status in {401, 403, 413} or 300 <= reply.status < 400:
                raise refusal(reply, url, asking.endpoint)
            if reply.status == 200:
                try:
                    answer = dialect.read(reply, len(_TEXTS), asking.endpoint)
                except UnreadableError as error:
                    first = first or error
                    continue
                return Detected(dialect, logits=not are_relevance(answer.scores))
            if first is None or first.status in {404, 405}:
                first = refusal(reply, url, asking.endpoint)
            if reply.status in {404, 405}:
                break  # nothing is there, in whatever dialect
    assert first is not None
    raise RemoteError(
        f"{asking.endpoint.base} speaks no dialect that is known (native, cohere, tei), or its "
        f"model does not rerank: {first}",
        url=asking.endpoint.base,
        status=first.status,
    )


def _urls(endpoint: Endpoint) -> Iterator[str]:
    if endpoint.full:
        yield endpoint.base
        return
    yield endpoint.base + "/rerank"
    if endpoint.base == endpoint.root:
        yield endpoint.base + "/v1/rerank"
        yield endpoint.base + "/v2/rerank"
