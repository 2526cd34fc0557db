"""Clients of a rerank server, any number at once, in Cohere's dialect."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import httpx

__all__ = ["Answered", "Case", "ask_at_a_rate", "ask_in_turn"]

_TOLERANCE = 1e-6


class Case(NamedTuple):
    """A question, its candidates, and the right ranking: indices with relevance, best first."""

    query: str
    texts: list[str]
    ranking: list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request.

    Attributes:
        at: When it ended.
        seconds: How long it took.
        status: Of the answer; 0 if there was none.
        right: Whether the ranking is the right one.
        retry_after: What the server advised.
        error: Why there was no answer.
    """

    at: float
    seconds: float
    status: int
    right: bool = False
    retry_after: float | None = None
    error: str = ""


async def ask_in_turn(
    url: str,
    cases: Sequence[Case],
    clients: int,
    seconds: float,
    *,
    key: str | None = None,
    give_up_when_refused: bool = False,
) -> list[Answered]:
    """Each client asks again as soon as it has its answer.

    Those that were sent before the time is over are waited for.
    """
    answered: list[Answered] = []
    numbers = itertools.count()
    end = time.perf_counter() + seconds

    async def client(http: httpx.AsyncClient) -> None:
        while time.perf_counter() < end:
            case = cases[next(numbers) % len(cases)]
            one = await _ask(http, case)
            answered.append(one)
            if one.status == 200:
                continue
            if give_up_when_refused:
                return
            await asyncio.sleep(one.retry_after or 0.1)

    async with _client(url, key) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return answered


async def ask_at_a_rate(
    url: str, cases: Sequence[Case], rate: float, seconds: float
) -> list[Answered]:
    """Requests at even distances, however slowly they are answered."""
    async with _client(url, None) as http:
        start = time.perf_counter()
        tasks = []
        for number in range(math.ceil(rate * seconds)):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(_ask(http, cases[number % len(cases)])))
        return list(await asyncio.gather(*tasks))


def _client(url: str, key: str | None) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=url, timeout=None, limits=limits, headers=headers)


async def _ask(http: httpx.AsyncClient, case: Case) -> Answered:
    start = time.perf_counter()
    body = {"query": case.query, "documents": case.texts}
    try:
        answer = await http.post("/v1/rerank", json=body)
        found = answer.json() if answer.status_code == 200 else {}
    except (httpx.HTTPError, ValueError) as error:
        end = time.perf_counter()
        return Answered(end, end - start, 0, error=type(error).__name__)
    end = time.perf_counter()
    advised = answer.headers.get("retry-after")
    ranking = [(one["index"], one["relevance_score"]) for one in found.get("results", [])]
    return Answered(
        end,
        end - start,
        answer.status_code,
        right=_same(ranking, case.ranking),
        retry_after=float(advised) if advised else None,
    )


def _same(one: Sequence[tuple[int, float]], other: Sequence[tuple[int, float]]) -> bool:
    return [index for index, _ in one] == [index for index, _ in other] and all(
        abs(a - b) <= _TOLERANCE for (_, a), (_, b) in zip(one, other, strict=True)
    )
