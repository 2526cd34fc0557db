"""Several requests of one call under way at once, but not too many."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

__all__ = ["atogether", "together"]

Result = TypeVar("Result")


def together(
    jobs: Sequence[Callable[[threading.Event], Result]], most: int, threads: ThreadPoolExecutor
) -> list[Result]:
    """Do all jobs, this thread among those that do; the first error ends the others.

    Args:
        jobs: Each is given an event that is set once nobody waits for its result any more.
        most: How many at once.
        threads: Help; where they are all busy, this thread does everything itself.

    Returns:
        Their results, in the order of the jobs.
    """
    stop = threading.Event()
    todo = deque(enumerate(jobs))
    done: dict[int, Result] = {}

    def work() -> None:
        while not stop.is_set():
            try:
                index, job = todo.popleft()
            except IndexError:
                return
            try:
                done[index] = job(stop)
            except BaseException:
                stop.set()
                raise

    helpers: list[Future[None]] = []
    try:
        with suppress(RuntimeError):  # the interpreter exits: no more threads
            while len(helpers) < min(most, len(jobs)) - 1:
                helpers.append(threads.submit(copy_context().run, work))
        work()
        # Those that have not begun have nothing left to do.
        begun = [helper for helper in helpers if not helper.cancel()]
        finished, _ = wait(begun, return_when=FIRST_EXCEPTION)
        for helper in finished:
            helper.result()
    finally:
        stop.set()
    return [done[index] for index in range(len(jobs))]


async def atogether(jobs: Sequence[Callable[[], Awaitable[Result]]], most: int) -> list[Result]:
    """:func:`together` for asyncio: the first error, or a cancellation, cancels the others."""
    todo = deque(enumerate(jobs))
    done: dict[int, Result] = {}

    async def work() -> None:
        while todo:
            index, job = todo.popleft()
            done[index] = await job()

    tasks = [asyncio.ensure_future(work()) for _ in range(min(most, len(jobs)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [done[index] for index in range(len(jobs))]
