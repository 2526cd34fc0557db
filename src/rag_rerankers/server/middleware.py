"""Around every request: its id, the key, the log line, the metrics, the last resort."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag_rerankers.server.answers import refusal
from rag_rerankers.server.keys import Keys
from rag_rerankers.server.lingering import Lingering
from rag_rerankers.server.metrics import Metrics
from rag_rerankers.server.problems import Problem
from rag_rerankers.server.work import ClientGoneError

__all__ = ["Surroundings"]

logger = logging.getLogger("rag_rerankers.server")

_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_PUBLIC = re.compile(r"/(?:health(?:/live|/ready)?|playground/[^/]*)?")
# Not worth a line each: they come every few seconds, and are told 503 while models are loaded.
_QUIET = re.compile(r"/(?:health(?:/live|/ready)?|metrics)")


class Surroundings:
    """ASGI middleware; written by hand, as Starlette's own class hides when a client leaves.

    Args:
        app: What it is around.
        keys: Who may come in.
        metrics: What is counted.
        loopback_only: Answer only requests for a loopback host. A page of a foreign site that
            makes its own name point to the visitor's machine gets no further.
    """

    def __init__(
        self, app: ASGIApp, *, keys: Keys, metrics: Metrics, loopback_only: bool = False
    ) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        note: dict[str, Any] = {}
        scope.setdefault("state", {}).update(request_id=request_id, note=note)
        status = 0
        exchange = Lingering(receive, send)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Cache-Control", "no-store")
            await exchange.send(message)

        async def refuse(problem: Problem) -> None:
            await refusal(problem, Request(scope))(scope, exchange.receive, answer)

        try:
            self._check(_path(scope), headers)
            await self._app(scope, exchange.receive, answer)
        except ClientGoneError:
            note["disconnected"] = True
            self._metrics.gone.inc()
        except Problem as problem:
            await refuse(problem)
        except Exception:
            logger.exception("request failed", extra={"request_id": request_id})
            if not status:
                await refuse(Problem(500, f"the server failed; its log has {request_id}"))
        finally:
            self._record(scope, status, time.perf_counter() - start, request_id, note)

    def _check(self, path: str, headers: Headers) -> None:
        if self._loopback_only and not _is_loopback(headers.get("host", "")):
            raise Problem(
                421,
                f"this server answers only on its own machine, not as {headers.get('host')!r:.80}: "
                "start it with --api-key-file or --insecure to serve others",
                close=True,
            )
        if not _PUBLIC.fullmatch(path) and not self._keys.open_for(headers.get("authorization")):
            raise Problem(401, "a valid API key is needed: Authorization: Bearer KEY", close=True)

    def _record(
        self, scope: Scope, status: int, seconds: float, request_id: str, note: dict[str, Any]
    ) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        self._metrics.requests.labels(route, str(status or "none")).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if not _QUIET.fullmatch(_path(scope)) or status == 500:
            logger.info(
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "route": route,
                    "status": status or None,
                    "seconds": round(seconds, 4),
                    **note,
                },
            )


def _path(scope: Scope) -> str:
    """The path as the routes see it: without the prefix that the app is mounted under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
    name = name.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
