"""The connections of one scorer: a pool for threads, and one for every event loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from rag_rerankers.remote.driving import limits

__all__ = ["Clients", "Loop"]

_THREADS = 32


@dataclass
class Loop:
    """What belongs to one event loop.

    Attributes:
        client: Its connections.
        life: Closes them when the loop shuts down.
        detecting: Held by the task that finds out the dialect.
    """

    client: httpx.AsyncClient
    life: AsyncGenerator[None, None]
    detecting: asyncio.Lock = field(default_factory=asyncio.Lock)


class Clients:
    """Makes what is needed when it is needed, and forgets it after a fork.

    Args:
        transport: Used instead of sockets, for tests.
    """

    def __init__(self, transport: Any = None) -> None:
        self._transport = transport
        self.renew()

    def renew(self) -> None:
        """Forget all connections and threads, without closing them: they are the parent's."""
        self._lock = threading.Lock()
        self.detecting = threading.Lock()
        self._client: httpx.Client | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Loop] = (
            weakref.WeakKeyDictionary()
        )

    def client(self) -> httpx.Client:
        """The connections for threads."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    limits=limits(), transport=self._transport, follow_redirects=False
                )
                # Not at exit: a child would close what its parent goes on using.
                weakref.finalize(self, self._client.close).atexit = False
            return self._client

    def threads(self) -> ThreadPoolExecutor:
        """Threads for the further parts of a call; the first part needs none."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(
                    max_workers=_THREADS, thread_name_prefix="rag-rerankers-remote"
                )
            return self._threads

    async def loop(self) -> Loop:
        """The connections for the running event loop."""
        running = asyncio.get_running_loop()
        with self._lock:
            # Their connections hold on to their loops: weak keys alone would never let go.
            for one in [known for known in self._loops if known.is_closed()]:
                del self._loops[one]
            found = self._loops.get(running)
            if found is not None:
                return found
            client = httpx.AsyncClient(
                limits=limits(), transport=self._transport, follow_redirects=False
            )
            found = self._loops[running] = Loop(client, _life(client))
        # From its first step on the loop knows the generator, and finishes it at shutdown.
        await found.life.__anext__()
        return found

    def close(self) -> None:
        """Close the connections of threads; those of event loops close when nobody uses them."""
        with self._lock:
            client, self._client = self._client, None
            threads, self._threads = self._threads, None
            self._loops.clear()
        if client is not None:
            client.close()
        if threads is not None:
            threads.shutdown(wait=False)

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and of threads."""
        with self._lock:
            found = self._loops.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.life.aclose()
        self.close()


async def _life(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()
