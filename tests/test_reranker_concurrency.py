from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.engine.summing import until
from tests.kinds import CROSS_ENCODERS, LATE_INTERACTION, reference
from tests.samples import MIXED, QUERY, sentence

from rag_rerankers import (
    RankedDocument,
    Reranker,
    TruncationWarning,
)

XLMR, STANFORD = CROSS_ENCODERS[0], LATE_INTERACTION[0]


class Pool:
    """Questions and candidates of mixed lengths, with the reference's scores for every pair."""

    def __init__(self, kind, make) -> None:
        chosen = random.Random(8)
        self.queries = [sentence(chosen, n) for n in (1, 4, 12, 40)]
        self.texts = [sentence(chosen, n) for n in (0, 1, 2, 5, 9, 20, 45, 90)]
        score = reference(kind, make, 100)
        self.scores = {q: dict(zip(self.texts, score(q, self.texts), strict=True))
                       for q in self.queries}  # fmt: skip

    def job(self, seed: int) -> tuple[str, list[str]]:
        chosen = random.Random(seed)
        return chosen.choice(self.queries), chosen.sample(self.texts, chosen.randint(1, 5))

    def wrong(self, query: str, hits: list[RankedDocument]) -> list[RankedDocument]:
        return [hit for hit in hits if abs(hit.score - self.scores[query][hit.text]) > 1e-3]


@pytest.fixture(scope="module", params=[XLMR, STANFORD, CROSS_ENCODERS[8]], ids=str)
def shared(request, make, loader):
    """One reranker for everybody, and the pool of jobs with known scores."""
    scorer = loader(request.param, max_length=100, batch_tokens=150)
    return Reranker(scorer), Pool(request.param, make)


@pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")
def test_8_threads_with_50_calls_each_get_no_wrong_score(shared):
    reranker, pool = shared
    start = threading.Barrier(8)

    def work(number: int) -> int:
        start.wait(10)
        wrong = 0
        for call in range(50):
            query, texts = pool.job(1000 * number + call)
            hits = reranker.rank(query, texts)
            assert sorted(hit.text for hit in hits) == sorted(texts)
            wrong += len(pool.wrong(query, hits))
        return wrong

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [0] * 8


@pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")
async def test_200_tasks_at_once_get_no_wrong_score(shared):
    reranker, pool = shared
    jobs = [pool.job(seed) for seed in range(200)]
    found = await asyncio.gather(*(reranker.arank(*job) for job in jobs))
    assert [pool.wrong(query, hits) for (query, _), hits in zip(jobs, found, strict=True)] == (
        [[]] * 200
    )


# --- arank ---


class Slow:
    """Takes its time, counts, and can be held."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.started = Counter()
        self.go = threading.Event()
        self.go.set()

    def score(self, query, texts):
        self.started[query] += 1
        time.sleep(self.seconds)
        assert self.go.wait(20)
        return [1.0] * len(texts)


async def test_the_event_loop_goes_on_while_a_model_works():
    beats = 0

    async def heart() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(heart())
    await Reranker(Slow(0.5)).arank("q", ["a"])
    beating.cancel()
    assert beats >= 15, "of about 50"


async def test_tasks_are_served_at_the_same_time():
    start = time.perf_counter()
    reranker = Reranker(Slow(0.2))
    await asyncio.gather(*(reranker.arank("q", ["a"]) for _ in range(5)))
    assert time.perf_counter() - start < 0.7, "one after the other they take 1 s"


async def test_the_threads_are_not_those_of_everybody():
    """Blocking calls of others share asyncio's own pool: slow models must not fill it."""
    slow = Slow()
    slow.go.clear()
    reranker = Reranker(slow)
    tasks = [asyncio.create_task(reranker.arank("q", ["a"])) for _ in range(100)]
    await asyncio.sleep(0.05)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "served"), 5) == "served"
    slow.go.set()
    assert len(await asyncio.gather(*tasks)) == 100


async def test_cancellation_is_prompt_and_stops_after_the_batch_in_progress(
    make, monkeypatch, caplog
):
    """Twenty texts, one a batch; the task is cancelled while the third batch runs."""
    reranker = Reranker(make("bert_reranker"), device="cpu", dtype="float32", batch_tokens=1)
    lanes, plain = reranker.scorer.engine._lanes, reranker.scorer.engine._lanes._forward
    third, release, batches = threading.Event(), threading.Event(), []

    def forward(batch):
        batches.append(len(batch))
        if len(batches) == 3:
            third.set()
            assert release.wait(20)
        return plain(batch)

    monkeypatch.setattr(lanes, "_forward", forward)
    texts = [f"panda {'bear ' * n}" for n in range(20)]
    task = asyncio.create_task(reranker.arank(QUERY, texts))
    await asyncio.to_thread(third.wait, 20)
    cancelled = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.perf_counter() - cancelled < 1, "the task waited for its thread"
    await asyncio.to_thread(until, lambda: not lanes._queue._requests)
    release.set()
    await asyncio.to_thread(until, lambda: not lanes._running)
    assert len(batches) == 3, "the engine went on for nobody"
    monkeypatch.setattr(lanes, "_forward", plain)
    hits = await reranker.arank(QUERY, texts)
    expected = reference(CROSS_ENCODERS[2], make)(QUERY, texts)
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_queued_work_that_is_cancelled_never_starts():
    slow = Slow()
    slow.go.clear()
    reranker = Reranker(slow)
    running = [asyncio.create_task(reranker.arank("running", ["a"])) for _ in range(40)]
    await asyncio.sleep(0.1)
    n_running = slow.started["running"]
    assert n_running < 40, "the pool is bounded"
    queued = [asyncio.create_task(reranker.arank("queued", ["a"])) for _ in range(10)]
    await asyncio.sleep(0.05)
    for task in queued:
        task.cancel()
    done = await asyncio.gather(*queued, return_exceptions=True)
    assert [type(result) for result in done] == [asyncio.CancelledError] * 10
    slow.go.set()
    assert len(await asyncio.gather(*running)) == 40
    assert slow.started == {"running": 40}


async def test_a_timeout_is_a_timeout():
    slow = Slow(0.3)
    reranker = Reranker(slow)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(reranker.arank("q", ["a"]), 0.05)
    assert len(await reranker.arank("q", ["a", "b"])) == 2


async def test_one_cancelled_task_does_not_disturb_the_others(loader, make):
    reranker = Reranker(loader(XLMR, batch_tokens=1))
    tasks = [asyncio.create_task(reranker.arank(QUERY, list(MIXED[:5]))) for _ in range(12)]
    await asyncio.sleep(0.005)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    expected = sorted(reference(XLMR, make)(QUERY, MIXED[:5]), reverse=True)
    for result in done[1::2]:
        assert [hit.score for hit in result] == pytest.approx(expected, abs=1e-4)


async def test_context_variables_reach_the_scorer():
    import contextvars

    seen = contextvars.ContextVar("seen")

    class Seeing:
        def score(self, query, texts):
            return [float(seen.get())] * len(texts)

    seen.set(5)
    (hit,) = await Reranker(Seeing()).arank("q", ["a"])
    assert hit.score == 5.0


async def test_a_cut_under_arank_is_warned_about_at_the_callers_line(make):
    reranker = Reranker(make("bert_encoder"), device="cpu", dtype="float32", max_length=8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await reranker.arank("a panda", ["panda bear china " * 20, "a"])
    told = [warning for warning in caught if issubclass(warning.category, TruncationWarning)]
    assert [warning.filename for warning in told] == [__file__]
