"""The same server on Ray Serve: as many replicas of it as the load, or the caller, asks for.

Each replica is the whole app with models of its own, so requests, answers, keys and limits are what
they are on one machine. There is no batching in front of it: what arrives together at a replica
goes through its model in common forward passes anyway, packed under the token budget.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag_rerankers.distributed.libraries import needed

if TYPE_CHECKING:
    from rag_rerankers.server import ServerSettings

__all__ = ["FEATURE", "NAME", "Scaling", "build", "deploy"]

FEATURE = "serving on many machines (rag-rerankers serve --ray)"
NAME = "rag-rerankers"
"""Of the application in Ray Serve, and of its only deployment."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

_LIVE, _READY = "/health/live", "/health/ready"


@dataclass(frozen=True)
class Scaling:
    """How many replicas there are, and what each has.

    Attributes:
        min_replicas: How many there are always.
        max_replicas: How many at most; None is as many as the least: no autoscaling.
        cpus: Cores of each, which are torch's threads.
        gpus: GPUs of each; a fraction shares one.
        target_requests: Requests in progress at each replica that autoscaling aims at.
        max_requests: Requests in progress that a replica is given at most; others wait in front.
        max_waiting: Requests that wait in front of the replicas at most, at each of Ray's proxies;
            others are refused with 503. None: no bound.
        start_seconds: How long a replica may take to load its models.
        stop_seconds: How long a replica may take to finish what it has begun.
    """

    min_replicas: int = 1
    max_replicas: int | None = None
    cpus: float = 1
    gpus: float = 0
    target_requests: float = 8
    max_requests: int = 64
    max_waiting: int | None = None
    start_seconds: float = 1800
    stop_seconds: float = 30

    def __post_init__(self) -> None:
        most = self.min_replicas if self.max_replicas is None else self.max_replicas
        if not 1 <= self.min_replicas <= most:
            raise ValueError(
                f"replicas must be at least 1, and the most no less than the least, not "
                f"{self.min_replicas} to {most}"
            )
        for name in ("cpus", "gpus", "max_waiting", "stop_seconds"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)!r}")
        for name in ("target_requests", "max_requests", "start_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)!r}")

    def as_kwargs(self) -> dict[str, Any]:
        """As keyword arguments of Ray Serve's ``deployment``."""
        if self.max_replicas is None:
            replicas: dict[str, Any] = {"num_replicas": self.min_replicas}
        else:
            replicas = {
                "autoscaling_config": {
                    "min_replicas": self.min_replicas,
                    "max_replicas": self.max_replicas,
                    "target_ongoing_requests": self.target_requests,
                }
            }
        return {
            **replicas,
            "ray_actor_options": {"num_cpus": self.cpus, "num_gpus": self.gpus},
            "max_ongoing_requests": self.max_requests,
            "max_queued_requests": -1 if self.max_waiting is None else self.max_waiting,
            "graceful_shutdown_timeout_s": self.stop_seconds,
            "health_check_period_s": 10,
            "health_check_timeout_s": 30,
        }


def build(
    settings: ServerSettings,
    scaling: Scaling | None = None,
    *,
    create_app: Callable[[ServerSettings], Any] | None = None,
) -> Any:
    """The application for ``serve.run``, or for a Serve config file of your own.

    Args:
        settings: What is served; sent to every replica.
        scaling: How many replicas; None for one.
        create_app: Makes the app in each replica; None is the server's own.

    Raises:
        MissingExtraError: Ray Serve is not installed.
    """
    serve = needed("ray.serve", FEATURE)
    scaling = scaling or Scaling()
    cores = max(1, math.ceil(scaling.cpus))
    limit = scaling.start_seconds

    # A function, and not an app: Ray calls it in each replica, so that nothing is loaded here.
    def app() -> App:
        _use_threads(cores)
        made: App = (create_app or _own_app())(settings)
        return made

    class Replica:
        """One copy of the server."""

        _ready = False

        async def check_health(self) -> None:
            """Ray calls it before it sends the first request, and again and again after that."""
            if not self._ready:
                await _wait_until_ready(self.app, limit)  # type: ignore[attr-defined]
                self._ready = True
            status = await _status(self.app, _LIVE)  # type: ignore[attr-defined]
            if status != 200:
                raise RuntimeError(f"{_LIVE} answers {status}")

    deployment = serve.deployment(name=NAME, **scaling.as_kwargs())
    return deployment(serve.ingress(app)(Replica)).bind()


def deploy(
    settings: ServerSettings,
    *,
    scaling: Scaling | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    address: str | None = None,
    detach: bool = False,
    loopback_only: bool = False,
    create_app: Callable[[ServerSettings], Any] | None = None,
) -> None:
    """Serve on a Ray cluster until the process is told to stop.

    Args:
        settings: What is served.
        scaling: How many replicas; None for one.
        host: Where Ray's proxies listen, on each machine that has a replica.
        port: Likewise.
        address: Of the cluster; None is that of ``RAY_ADDRESS``, or a local one that ends with
            this process.
        detach: Return as soon as it serves, and leave it to the cluster.
        loopback_only: Refuse requests for another host than this machine.
        create_app: Makes the app in each replica; None is the server's own.

    Raises:
        MissingExtraError: Ray Serve is not installed.
        RuntimeError: No replica could start; Ray tells why.
    """
    ray, serve = needed("ray", FEATURE), needed("ray.serve", FEATURE)
    if loopback_only:
        make: Callable[..., Any] = create_app or _own_app()
        create_app = functools.partial(make, loopback_only=True)
    mine = not ray.is_initialized()
    if mine:
        ray.init(address=address, include_dashboard=False, logging_level=logging.WARNING)
    try:
        serve.start(http_options={"host": host, "port": port})
        serve.run(build(settings, scaling, create_app=create_app), name=NAME, route_prefix="/")
        if detach:
            return
        _wait_for_a_signal()
        serve.delete(NAME)
    finally:
        if mine:
            ray.shutdown()


def _own_app() -> Callable[[ServerSettings], Any]:
    from rag_rerankers.server import create_app

    return create_app


def _wait_for_a_signal() -> None:
    told = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: told.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        told.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _use_threads(cores: int) -> None:
    """Let torch use the cores that Ray gave, whether it has been imported or will be."""
    os.environ["OMP_NUM_THREADS"] = str(cores)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(cores)


async def _wait_until_ready(app: App, limit: float) -> None:
    """Ray must not send requests to a replica that still loads its models."""
    waited = 0.0
    while (status := await _status(app, _READY)) != 200:
        if status != 503 or waited >= limit:
            raise RuntimeError(f"{_READY} answers {status} after {waited:.0f} seconds")
        await asyncio.sleep(0.1)
        waited += 0.1


async def _status(app: App, path: str) -> int:
    """Ask the app itself, without a socket."""
    statuses: list[int] = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            # Nobody hangs up; an app that waits for it is cancelled when it has answered.
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }
    await app(scope, receive, send)
    return statuses[0] if statuses else 0
