"""From jobs to outcomes: limits, admission, the model, the deadline."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import TypeVar

from starlette.requests import Request

from rag_rerankers.errors import (
    RemoteError,
    RemoteTimeoutError,
    RerankError,
    ScoreError,
    StoreError,
)
from rag_rerankers.reranker import Reranker
from rag_rerankers.server.dialects.job import Job, Outcome
from rag_rerankers.server.gate import Gate
from rag_rerankers.server.metrics import Metrics
from rag_rerankers.server.models import ServedModel, ServedModels
from rag_rerankers.server.problems import Problem
from rag_rerankers.server.settings import ServerSettings
from rag_rerankers.server.sizes import estimated_tokens
from rag_rerankers.server.work import Done, do
from rag_rerankers.types import RankedDocument

__all__ = ["DEADLINE_HEADER", "Service"]

logger = logging.getLogger("rag_rerankers.server")

Result = TypeVar("Result")

DEADLINE_HEADER = "X-Request-Timeout"


class Service:
    """What the routes share.

    Args:
        settings: Limits.
        models: What is served.
        gate: Who is let in.
        metrics: What is counted.
    """

    def __init__(
        self, settings: ServerSettings, models: ServedModels, gate: Gate, metrics: Metrics
    ) -> None:
        self.settings = settings
        self.models = models
        self.gate = gate
        self.metrics = metrics

    @property
    def ready(self) -> bool:
        """Whether requests are let in and can be served."""
        return self.models.ready and not self.gate.closed

    async def rank(self, jobs: Sequence[Job], request: Request) -> list[Outcome]:
        """Rank: one outcome for each job; all are of one request and one model.

        Raises:
            ClientGoneError: The client hung up.
            Problem: 404, 413, 422, 503 or 504; see the documentation of the server.
        """
        model = self.models.find(jobs[0].model)

        def work(reranker: Reranker) -> list[list[RankedDocument]]:
            return [
                reranker.rank(job.query, job.texts, top_n=job.top_n, threshold=job.threshold)
                for job in jobs
            ]

        start = time.perf_counter()
        hits, done = await self._run(work, model, jobs, request)
        seconds = time.perf_counter() - start
        self.metrics.rank_seconds.labels(model.name).observe(seconds)
        for job in jobs:
            self.metrics.texts.labels(model.name).observe(len(job.texts))
        first = Outcome(
            id=request.scope["state"]["request_id"],
            model=model.name,
            hits=hits[0],
            tokens=done.tokens,
            cut=done.cut,
            max_length=model.max_length,
            seconds=seconds,
            created=int(time.time()),
        )
        # What it cost is told once.
        others = [
            Outcome(first.id, first.model, own, 0, 0, first.max_length, 0.0, first.created)
            for own in hits[1:]
        ]
        return [first, *others]

    async def run(
        self, work: Callable[[Reranker], Result], job: Job, request: Request
    ) -> tuple[Result, ServedModel]:
        """Do something else with a model, under the same limits.

        Raises:
            ClientGoneError: The client hung up.
            Problem: As for :meth:`rank`.
        """
        model = self.models.find(job.model)
        result, _ = await self._run(work, model, [job], request)
        return result, model

    async def _run(
        self,
        work: Callable[[Reranker], Result],
        model: ServedModel,
        jobs: Sequence[Job],
        request: Request,
    ) -> tuple[Result, Done]:
        reranker = model.reranker
        if reranker is None:  # for the type checker: find() has looked
            raise Problem(503, f"the model {model.name!r} is not loaded")
        tokens = self._checked_size(jobs)
        note = request.scope["state"]["note"]
        note.update(model=model.name, texts=sum(len(job.texts) for job in jobs))
        seconds = _deadline(request, self.settings.timeout)
        with self._inside(tokens), _saying_what_went_wrong(request):
            result, done = await do(
                lambda: work(reranker), request, model=model.name, seconds=seconds
            )
        self.metrics.tokens.labels(model.name).inc(done.tokens)
        self.metrics.truncated.labels(model.name).inc(done.cut)
        note.update(tokens=done.tokens, truncated=done.cut)
        return result, done

    @contextlib.contextmanager
    def _inside(self, tokens: int) -> Iterator[None]:
        try:
            with self.gate.enter(tokens):
                self._show_load()
                yield
        except Problem as problem:
            if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
                self.metrics.shed.inc()
            elif problem.status == HTTPStatus.GATEWAY_TIMEOUT:
                self.metrics.late.inc()
            raise
        finally:
            self._show_load()

    def _show_load(self) -> None:
        self.metrics.inside.set(self.gate.requests)
        self.metrics.queued.set(self.gate.tokens)

    def _checked_size(self, jobs: Sequence[Job]) -> int:
        """How many tokens are asked for, if that is within the limits."""
        count = sum(len(job.texts) for job in jobs)
        if count > self.settings.max_documents:
            raise Problem(
                413,
                f"{count} documents are more than the {self.settings.max_documents} of one "
                "request: send fewer",
            )
        tokens = sum(estimated_tokens(job.query, job.texts) for job in jobs)
        if tokens > self.settings.max_tokens:
            raise Problem(
                413,
                f"about {tokens} tokens are more than the {self.settings.max_tokens} of one "
                "request: send fewer or shorter texts",
            )
        return tokens


def _deadline(request: Request, most: float) -> float:
    given = request.headers.get(DEADLINE_HEADER)
    if given is None:
        return most
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise Problem(
            422, f"{DEADLINE_HEADER} must be a number of seconds above 0, not {given!r:.40}"
        )
    return min(seconds, most)


@contextlib.contextmanager
def _saying_what_went_wrong(request: Request) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise Problem(
            413, "the model's memory does not hold one of the texts: send shorter ones"
        ) from None
    except RerankError as error:
        request_id = request.scope["state"]["request_id"]
        logged = {"request_id": request_id}
        if isinstance(error, StoreError):  # others may quote a text
            logged["error"] = str(error)
        logger.exception("ranking failed", extra=logged)
        if isinstance(error, RemoteError):
            status = 504 if isinstance(error, RemoteTimeoutError) else 502
            message = f"the server behind this model failed; the log has {request_id}"
            raise Problem(status, message) from None
        # Other errors may tell where files lie.
        message = str(error) if isinstance(error, ScoreError) else f"the log has {request_id}"
        raise Problem(500, f"{type(error).__name__}: {message}") from None
