"""A scorer whose model runs on a server."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rag_rerankers.errors import (
    CircuitOpenError,
    MissingExtraError,
    RemoteError,
    RemoteTimeoutError,
)
from rag_rerankers.metering import count
from rag_rerankers.options import check_api_key, check_timeout
from rag_rerankers.remote.answers import Answer, both
from rag_rerankers.remote.asking import ask_part, parts
from rag_rerankers.remote.breaker import Breaker, Entry
from rag_rerankers.remote.deadline import Deadline
from rag_rerankers.remote.detection import Detected, detect
from rag_rerankers.remote.dialects import DIALECTS, relevance_of_numbers
from rag_rerankers.remote.endpoint import parse_endpoint
from rag_rerankers.remote.known import Known, is_failure, may_be_another
from rag_rerankers.remote.messages import Steps
from rag_rerankers.remote.retrying import Retrying
from rag_rerankers.remote.together import atogether, together
from rag_rerankers.types import CalibratedScores

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RemoteScorer"]

DEFAULT_TIMEOUT = 60.0
# A server that refuses is not suspected of being another one more often than this.
_SUSPICION = 10.0


class RemoteScorer:
    """Scores texts by a reranking server, over HTTP.

    ``Reranker("http://host:8080")`` makes one with the defaults. The server may be
    ``rag-rerankers serve``, Text Embeddings Inference, infinity, vLLM, llama.cpp, Cohere, Jina, or
    another that speaks like one of them; which it is, is found out at the first score, and again
    when it answers like another one.

    **Scores** are the server's numbers. ``rag-rerankers serve`` tells raw scores and relevance,
    which are taken as they are. Text Embeddings Inference and infinity are asked for raw scores
    (logits). The others' numbers are relevance if they lie in 0..1, and logits otherwise; a server
    that once gave a number outside is one that gives logits. The list that :meth:`score` returns
    brings the relevance along (:class:`~rag_rerankers.CalibratedScores`).

    **Failures.** What passes (no connection, 408, 425, 429, 502, 503, 504) is tried again after a
    random pause and whatever ``Retry-After`` asks for, as long as the timeout allows. Any answer
    that is not one finite score for each text is an error, never a gap. After several failures in
    a row the server is left alone for a while.

    One instance may be shared by threads, asyncio tasks and event loops. It survives a fork, and a
    pickled copy connects anew. It is closed when it is freed, by :meth:`close`, or at the end of a
    ``with`` block.

    Args:
        url: ``http://host:8080``, ``https://host/prefix``, ``https://host/v1``, or a full path such
            as ``https://host/v2/rerank``; ``#name`` at the end names the model. A user and a
            password in it are sent as basic authentication.
        model: The model's name there, if the server has several.
        api_key: Sent as a bearer token. None: the environment's ``RAG_RERANKERS_API_KEY``.
        dialect: ``"auto"``, or ``"native"``, ``"cohere"``, ``"tei"``, if it is known.
        timeout: Seconds for a whole call: all its parts, retries and pauses. None: 60.
        max_texts: Texts in one request. None: what the server tells, or 32 for Text Embeddings
            Inference and 1000 for others; half of it when it answers 413.
        parallel: Requests of one call that are under way at once.
        retries: Tries after the first, for each request.
        backoff: Seconds: the n-th pause is drawn from 0 to ``backoff * 2**n``.
        breaker_failures: Leave the server alone after so many failed calls in a row. 0: never.
        breaker_seconds: For so long; then one call tries.
        transport: An ``httpx`` transport for both kinds of calls, instead of sockets; for tests.

    Attributes:
        url: Where the server is, without user and password.
        model: The model's name there.
        timeout: Seconds for a whole call.

    Raises:
        MissingExtraError: httpx is not installed.
        TypeError, ValueError: A bad argument.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        dialect: str = "auto",
        timeout: float | None = None,
        max_texts: int | None = None,
        parallel: int = 4,
        retries: int = 3,
        backoff: float = 0.25,
        breaker_failures: int = 5,
        breaker_seconds: float = 10.0,
        transport: Any = None,
    ) -> None:
        self._made_with = {
            "url": url,
            "model": model,
            "api_key": api_key,
            "dialect": dialect,
            "timeout": timeout,
            "max_texts": max_texts,
            "parallel": parallel,
            "retries": retries,
            "backoff": backoff,
            "breaker_failures": breaker_failures,
            "breaker_seconds": breaker_seconds,
            "transport": transport,
        }
        if not isinstance(url, str):
            raise TypeError(f"url must be a string such as http://host:8080, not {url!r:.100}")
        check_api_key(api_key)
        check_timeout(timeout)
        if dialect not in DIALECTS:
            raise ValueError(f"dialect must be one of {', '.join(DIALECTS)}, not {dialect!r}")
        _check_int("max_texts", max_texts, least=1)
        _check_int("parallel", parallel, least=1)
        _check_int("retries", retries)
        _check_int("breaker_failures", breaker_failures)
        key = os.environ.get("RAG_RERANKERS_API_KEY", "").strip() or None
        check_api_key(key)
        self._endpoint = parse_endpoint(url, api_key, key)
        if model is not None and self._endpoint.model not in {None, model}:
            raise ValueError(
                f"model is {model!r}, but the URL names {self._endpoint.model!r}: give one of them"
            )
        self.url = self._endpoint.base
        self.model = model or self._endpoint.model
        self.timeout = DEFAULT_TIMEOUT if timeout is None else float(timeout)
        self._wanted = dialect
        self._max_texts = max_texts
        self._parallel = parallel
        self._retrying = Retrying(retries, backoff)
        self._breaker = Breaker(breaker_failures, breaker_seconds)
        self._known: Known | None = None
        self._suspected = -_SUSPICION
        self._headers = _headers(self._endpoint.authorization)
        try:
            from rag_rerankers.remote.clients import Clients
        except ModuleNotFoundError as error:
            if error.name not in {"httpx", "anyio"}:
                raise
            raise MissingExtraError(f"the server {self.url}", "remote") from error
        self._clients = Clients(transport)
        _scorers.add(self)

    def __repr__(self) -> str:
        model = f", model={self.model!r}" if self.model is not None else ""
        return f"{type(self).__name__}({self.url!r}{model})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._made_with)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._clients.close()

    async def aclose(self) -> None:
        """:meth:`close` for asyncio: closes those of the running event loop too."""
        await self._clients.aclose()

    @property
    def dialect(self) -> str | None:
        """What the server was found to speak; None until it was asked."""
        return None if self._known is None else self._known.dialect.name

    def score(self, query: str, texts: Sequence[str]) -> CalibratedScores:
        """One score per text, in the order of ``texts``.

        Raises:
            RemoteError: The server gave none, or not for all of them.
            RemoteTimeoutError: Not in time.
            CircuitOpenError: It failed too often, and was not asked.
        """
        texts = list(texts)
        if not texts:
            return CalibratedScores([], [])
        deadline = Deadline(self.timeout)
        entry = self._enter()
        try:
            known, answer = self._scored(query, texts, deadline)
        except BaseException as error:
            self._failed(entry, error)
            raise
        return self._done(entry, known, answer)

    async def ascore(self, query: str, texts: Sequence[str]) -> CalibratedScores:
        """:meth:`score` for asyncio; a cancellation gives the requests up."""
        texts = list(texts)
        if not texts:
            return CalibratedScores([], [])
        deadline = Deadline(self.timeout)
        entry = self._enter()
        try:
            known, answer = await self._ascored(query, texts, deadline)
        except BaseException as error:
            self._failed(entry, error)
            raise
        return self._done(entry, known, answer)

    def relevance(self, query: str, scores: Sequence[float]) -> list[float]:
        """The relevance that came with the scores.

        Plain numbers, of which only the server knew the relevance, are read as logits, unless
        this is a server whose numbers are relevance.
        """
        if isinstance(scores, CalibratedScores):
            return list(scores.relevance)
        known = self._known
        if known is None:
            return relevance_of_numbers(scores, logits=True)
        return known.relevance(scores)

    # --- one call, for threads ---

    def _scored(self, query: str, texts: Sequence[str], deadline: Deadline) -> tuple[Known, Answer]:
        known = self._find_out(None, deadline)
        try:
            return known, self._all_parts(known, query, texts, deadline)
        except RemoteError as error:
            if not self._suspects(error):
                raise
            try:
                other = self._find_out(known, deadline)
            except RemoteError:
                raise error from None
            if other.dialect == known.dialect:
                raise
        return other, self._all_parts(other, query, texts, deadline)

    def _find_out(self, before: Known | None, deadline: Deadline) -> Known:
        """How to speak to the server: as known, unless that is what was known before."""
        known = self._known
        if known is not None and known is not before:
            return known
        clients = self._clients
        if not clients.detecting.acquire(timeout=deadline.left()):
            raise self._late(deadline)
        try:
            known = self._known
            if known is not None and known is not before:
                return known
            return self._learn(self._drive(self._detection(deadline), deadline))
        finally:
            clients.detecting.release()

    def _all_parts(
        self, known: Known, query: str, texts: Sequence[str], deadline: Deadline
    ) -> Answer:
        steps = self._steps(known, query, texts, deadline)
        if len(steps) == 1:
            answer: Answer = self._drive(steps[0], deadline)
            return answer
        jobs = [lambda stop, step=step: self._drive(step, deadline, stop) for step in steps]
        return both(together(jobs, self._parallel, self._clients.threads()))

    def _drive(self, steps: Steps[Any], deadline: Deadline, stop: Any = None) -> Any:
        from rag_rerankers.remote.driving import drive

        return drive(steps, self._clients.client(), self._headers, deadline, stop)

    # --- one call, for asyncio ---

    async def _ascored(
        self, query: str, texts: Sequence[str], deadline: Deadline
    ) -> tuple[Known, Answer]:
        known = await self._afind_out(None, deadline)
        try:
            return known, await self._aall_parts(known, query, texts, deadline)
        except RemoteError as error:
            if not self._suspects(error):
                raise
            try:
                other = await self._afind_out(known, deadline)
            except RemoteError:
                raise error from None
            if other.dialect == known.dialect:
                raise
        return other, await self._aall_parts(other, query, texts, deadline)

    async def _afind_out(self, before: Known | None, deadline: Deadline) -> Known:
        known = self._known
        if known is not None and known is not before:
            return known
        import anyio

        loop = await self._clients.loop()
        try:
            with anyio.fail_after(deadline.left()):
                await loop.detecting.acquire()
        except TimeoutError:
            raise self._late(deadline) from None
        try:
            known = self._known
            if known is not None and known is not before:
                return known
            return self._learn(await self._adrive(self._detection(deadline), deadline))
        finally:
            loop.detecting.release()

    async def _aall_parts(
        self, known: Known, query: str, texts: Sequence[str], deadline: Deadline
    ) -> Answer:
        steps = self._steps(known, query, texts, deadline)
        if len(steps) == 1:
            answer: Answer = await self._adrive(steps[0], deadline)
            return answer
        jobs = [lambda step=step: self._adrive(step, deadline) for step in steps]
        return both(await atogether(jobs, self._parallel))

    async def _adrive(self, steps: Steps[Any], deadline: Deadline) -> Any:
        from rag_rerankers.remote.driving import adrive

        loop = await self._clients.loop()
        return await adrive(steps, loop.client, self._headers, deadline)

    # --- what both share ---

    def _detection(self, deadline: Deadline) -> Steps[Detected]:
        return detect(
            self._endpoint,
            self._wanted,
            self._retrying,
            deadline,
            model=self.model,
            limit=self._max_texts,
        )

    def _learn(self, detected: Detected) -> Known:
        self._known = Known(detected)
        return self._known

    def _steps(
        self, known: Known, query: str, texts: Sequence[str], deadline: Deadline
    ) -> list[Steps[Answer]]:
        rest = (known.limit, self._endpoint, self._retrying, deadline)
        slices = parts(len(texts), known.limit.texts)
        return [ask_part(known.dialect, query, texts[part], *rest) for part in slices]

    def _suspects(self, error: RemoteError) -> bool:
        now = time.monotonic()
        if not may_be_another(error) or now - self._suspected < _SUSPICION:
            return False
        self._suspected = now
        return True

    def _enter(self) -> Entry:
        entry = self._breaker.enter()
        if entry.wait is not None:
            when = f"in {entry.wait:.1f} seconds" if entry.wait else "when another call has tried"
            raise CircuitOpenError(
                f"{self.url} failed {self._breaker.failures} times in a row and is not asked now; "
                f"it will be {when}. The last failure: {self._breaker.last}",
                url=self.url,
            )
        return entry

    def _failed(self, entry: Entry, error: BaseException) -> None:
        failed = isinstance(error, RemoteError) and is_failure(error)
        answered = isinstance(error, RemoteError) and not failed
        self._breaker.leave(entry, answered=answered, failure=str(error) if failed else None)

    def _done(self, entry: Entry, known: Known, answer: Answer) -> CalibratedScores:
        self._breaker.leave(entry, answered=True)
        count(tokens=answer.tokens)
        return known.calibrated(answer)

    def _late(self, deadline: Deadline) -> RemoteTimeoutError:
        return RemoteTimeoutError(
            f"{self.url} did not tell within {deadline.seconds:g} seconds how to speak to it: give "
            "a longer timeout=",
            url=self.url,
        )

    def _renew(self) -> None:
        self._clients.renew()
        self._breaker.renew()


def _headers(authorization: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": "rag-rerankers"}
    return headers if authorization is None else {**headers, "Authorization": authorization}


def _check_int(name: str, value: object, least: int = 0) -> None:
    if value is None and name == "max_texts":
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def _rebuild(kind: type[RemoteScorer], made_with: dict[str, Any]) -> RemoteScorer:
    return kind(**made_with)


_scorers: weakref.WeakSet[RemoteScorer] = weakref.WeakSet()


def _renew_all() -> None:
    for scorer in list(_scorers):
        scorer._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
