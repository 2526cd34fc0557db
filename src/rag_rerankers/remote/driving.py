"""Does what the steps say: with httpx, for threads and for asyncio."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import anyio
import httpx

from rag_rerankers.cancellation import check_cancelled, current_flag
from rag_rerankers.remote.deadline import Deadline
from rag_rerankers.remote.messages import Effect, Lost, Pause, Reply, Request, Steps

if TYPE_CHECKING:
    import threading

__all__ = ["adrive", "drive", "limits"]

Result = TypeVar("Result")

_CONNECT = 10.0
_LATE = "no answer in time"


def limits() -> httpx.Limits:
    """Of a pool: as many connections as there are callers, and some are kept."""
    return httpx.Limits(max_connections=256, max_keepalive_connections=32, keepalive_expiry=30.0)


def drive(
    steps: Steps[Result],
    client: httpx.Client,
    headers: Mapping[str, str],
    deadline: Deadline,
    stop: threading.Event | None = None,
) -> Result:
    """Do the steps in this thread.

    Args:
        steps: What to do.
        client: Whose connections are used.
        headers: Sent with every request.
        deadline: The time of the call.
        stop: Ends pauses, when nobody waits for the result any more.
    """

    def do(effect: Effect) -> Reply | None:
        check_cancelled()
        if isinstance(effect, Pause):
            _pause(effect.seconds, stop)
            return None
        return _send(client, effect, headers, deadline)

    return _driven(steps, do)


def _driven(steps: Steps[Result], do: Callable[[Effect], Reply | None]) -> Result:
    try:
        effect = next(steps)
        while True:
            try:
                done = do(effect)
            except Lost as lost:  # noqa: PERF203 -- a request takes longer
                effect = steps.throw(lost)
            else:
                effect = steps.send(done)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


async def adrive(
    steps: Steps[Result], client: httpx.AsyncClient, headers: Mapping[str, str], deadline: Deadline
) -> Result:
    """:func:`drive` for asyncio."""
    try:
        effect = next(steps)
        while True:
            done: Reply | None = None
            try:
                if isinstance(effect, Pause):
                    await asyncio.sleep(effect.seconds)
                else:
                    done = await _asend(client, effect, headers, deadline)
            except Lost as lost:
                effect = steps.throw(lost)
            else:
                effect = steps.send(done)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


def _pause(seconds: float, stop: threading.Event | None) -> None:
    flag = current_flag.get() or stop
    if flag is None:
        time.sleep(seconds)
    else:
        flag.wait(seconds)
    check_cancelled()


def _send(
    client: httpx.Client, request: Request, headers: Mapping[str, str], deadline: Deadline
) -> Reply:
    try:
        response = client.send(_built(client, request, headers, deadline), stream=True)
        try:
            body = bytearray()
            _check_length(response, request)
            for chunk in response.iter_bytes():
                body += chunk
                _check_body(body, request, deadline)
        finally:
            response.close()
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        raise _lost(error, deadline) from error
    return _reply(response, body)


async def _asend(
    client: httpx.AsyncClient, request: Request, headers: Mapping[str, str], deadline: Deadline
) -> Reply:
    try:
        with anyio.fail_after(deadline.left()):
            built = _built(client, request, headers, deadline)
            response = await client.send(built, stream=True)
            try:
                body = bytearray()
                _check_length(response, request)
                async for chunk in response.aiter_bytes():
                    body += chunk
                    _check_body(body, request, deadline)
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        raise _lost(error, deadline) from error
    return _reply(response, body)


def _built(
    client: httpx.Client | httpx.AsyncClient,
    request: Request,
    headers: Mapping[str, str],
    deadline: Deadline,
) -> httpx.Request:
    left = max(deadline.left(), 0.001)
    sent = {**headers, "X-Request-Timeout": f"{left:.3f}"}
    if request.body is not None:
        sent["Content-Type"] = "application/json"
    timeout = httpx.Timeout(left, connect=min(left, _CONNECT))
    return client.build_request(
        request.method, request.url, content=request.body, headers=sent, timeout=timeout
    )


def _check_length(response: httpx.Response, request: Request) -> None:
    told = response.headers.get("content-length", "")
    if told.isdecimal() and int(told) > request.most:
        raise Lost(f"the answer has {int(told):,} bytes, far more than scores need", again=False)


def _check_body(body: bytearray, request: Request, deadline: Deadline) -> None:
    if len(body) > request.most:
        raise Lost(
            f"the answer has more than {request.most:,} bytes, far more than scores need",
            again=False,
        )
    if not deadline.left():
        raise Lost(_LATE, late=True)


def _reply(response: httpx.Response, body: bytearray) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, bytes(body))


def _lost(error: Exception, deadline: Deadline) -> Lost:
    late = isinstance(error, (httpx.TimeoutException, TimeoutError))
    if late and not deadline.left() > 0.001:
        return Lost(_LATE, late=True)
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Lost(reason, again=not _is_final(error), late=False)


def _is_final(error: BaseException) -> bool:
    """Whether the same would happen again: a wrong certificate, an answer that is no HTTP."""
    final = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.DecodingError)
    if isinstance(error, final):
        return True
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
