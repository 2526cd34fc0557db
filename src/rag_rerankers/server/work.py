"""The work of a request: on a thread, within its deadline, and only while somebody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from rag_rerankers.metering import Meter, metered
from rag_rerankers.server.problems import Problem
from rag_rerankers.workers import in_worker

__all__ = ["ClientGoneError", "Done", "do"]

Result = TypeVar("Result")


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a piece of work cost.

    Attributes:
        tokens: That the model read.
        cut: Texts that were longer than it reads.
    """

    tokens: int
    cut: int


async def do(
    work: Callable[[], Result], request: Request, *, model: str, seconds: float
) -> tuple[Result, Done]:
    """Do work on one of the model's threads.

    It stops after the batch in progress when the client hangs up or the deadline passes.

    Args:
        work: What to do.
        request: Whose client waits; its body has been read.
        model: Each has threads of its own: who waits for a slow one holds up nobody else.
        seconds: Until the deadline.

    Raises:
        ClientGoneError: The client hung up.
        Problem: 504, the deadline passed.
    """

    def measured() -> tuple[Result, Meter]:
        with metered() as meter:
            return work(), meter

    working = asyncio.ensure_future(in_worker(measured, f"serve-{model}"))
    leaving = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((working, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            result, meter = working.result()
            return result, Done(tokens=meter.tokens, cut=meter.cut)
        if leaving.done():
            raise ClientGoneError
        raise Problem(504, f"the answer was not ready within {seconds:g} s: send fewer texts")
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait((working, leaving))


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
