from __future__ import annotations

import asyncio
import logging
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.kinds import CROSS_ENCODERS, LATE_INTERACTION, reference
from tests.samples import MIXED, QUERY, sentence

from rag_rerankers import (
    ModelLoadError,
    ModelOptions,
    RankedDocument,
    Reranker,
    ScoreError,
    TruncationWarning,
)

XLMR, STANFORD = CROSS_ENCODERS[0], LATE_INTERACTION[0]


class Given:
    """Returns the scores that it was given."""

    def __init__(self, *scores: float) -> None:
        self.scores = scores
        self.calls: list[tuple[str, list[str]]] = []

    def score(self, query, texts):
        self.calls.append((query, texts))
        return self.scores


class Calibrated(Given):
    """Scores in 0..8."""

    def relevance(self, query, scores):
        return [np.float32(score / 8) for score in scores]


class Length:
    """The longer, the better; picklable."""

    def score(self, query, texts):
        return [float(len(text)) for text in texts]


async def ranked(reranker: Reranker, way: str, *args, **settings) -> list[RankedDocument]:
    if way == "rank":
        return reranker.rank(*args, **settings)
    return await reranker.arank(*args, **settings)


both = pytest.mark.parametrize("way", ["rank", "arank"])


# --- ranking ---


@both
async def test_hits_come_best_first_with_the_callers_index_and_text(way):
    hits = await ranked(Reranker(Given(0.0, 2.0, -1.0)), way, "q", ["a", "b", "c"])
    assert [(hit.index, hit.text, hit.score) for hit in hits] == [
        (1, "b", 2.0),
        (0, "a", 0.0),
        (2, "c", -1.0),
    ]
    assert all(isinstance(hit, RankedDocument) for hit in hits)


@both
async def test_ties_keep_the_order_of_the_input(way):
    hits = await ranked(Reranker(Given(1.0, 3.0, 1.0, 3.0, 1.0)), way, "q", list("abcde"))
    assert [hit.text for hit in hits] == list("bdace")


@both
@pytest.mark.parametrize(
    ("top_n", "expected"), [(None, [1, 2, 0]), (0, []), (1, [1]), (2, [1, 2]), (99, [1, 2, 0])]
)
async def test_top_n_keeps_the_best(way, top_n, expected):
    hits = await ranked(Reranker(Given(0.1, 0.9, 0.5)), way, "q", list("abc"), top_n=top_n)
    assert [hit.index for hit in hits] == expected


def test_without_calibration_relevance_is_the_sigmoid():
    hits = Reranker(Given(0.0, math.log(3), -1000.0)).rank("q", list("abc"))
    assert [hit.relevance for hit in hits] == pytest.approx([0.75, 0.5, 0.0])


@both
@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (None, [2, 1, 0]),
        (0, [2, 1, 0]),
        (0.5, [2, 1]),
        (0.51, [2]),
        (0.875, [2]),
        (0.88, []),
        (1, []),
    ],
)
async def test_the_threshold_is_on_relevance_and_inclusive(way, threshold, expected):
    reranker = Reranker(Calibrated(1.0, 4.0, 7.0))
    hits = await ranked(reranker, way, "q", list("abc"), threshold=threshold)
    assert [hit.index for hit in hits] == expected


def test_threshold_and_top_n_together():
    hits = Reranker(Calibrated(1.0, 4.0, 7.0, 5.0)).rank("q", list("abcd"), top_n=2, threshold=0.5)
    assert [hit.index for hit in hits] == [2, 3]


@pytest.mark.parametrize("scores", [(1, 2), np.array([1.0, 2.0], dtype=np.float32)])
def test_hits_hold_python_numbers_whatever_the_scorer_returns(scores):
    class Numpy:
        def score(self, query, texts):
            return scores

        def relevance(self, query, scores):
            return np.array([0.25, 0.75], dtype=np.float32)

    for hit in Reranker(Numpy()).rank("q", ["a", "b"]):
        assert type(hit.score) is float
        assert type(hit.relevance) is float
        assert type(hit.index) is int


def test_the_scorer_gets_the_query_and_a_list_of_the_texts():
    scorer = Given(1.0, 2.0)
    Reranker(scorer).rank("what?", (text for text in ("a", "b")))
    assert scorer.calls == [("what?", ["a", "b"])]


@pytest.mark.parametrize(
    "texts",
    [["a", "b"], ("a", "b"), (t for t in "ab"), map(str.lower, "AB")],
    ids=["list", "tuple", "generator", "map"],
)
def test_any_iterable_of_texts_will_do(texts):
    assert [hit.text for hit in Reranker(Given(1.0, 2.0)).rank("q", texts)] == ["b", "a"]


@both
async def test_nothing_to_rank_asks_nobody(way):
    scorer = Given()
    assert await ranked(Reranker(scorer), way, "q", []) == []
    assert await ranked(Reranker(scorer), way, "q", iter(())) == []
    assert await ranked(Reranker(scorer), way, "q", ["a"], top_n=0) == []
    assert scorer.calls == []


@both
async def test_empty_strings_are_scored(way):
    scorer = Given(1.0, 2.0)
    hits = await ranked(Reranker(scorer), way, "", ["", "a"])
    assert scorer.calls == [("", ["", "a"])]
    assert [hit.text for hit in hits] == ["a", ""]


# --- bad input ---


@both
@pytest.mark.parametrize(
    ("query", "error", "told"),
    [
        (None, ValueError, "missing"),
        (7, TypeError, "not int: 7"),
        (b"q", TypeError, "not bytes"),
        (["q"], TypeError, r"not list: \['q'\]"),
    ],
)
async def test_a_query_that_is_no_string_is_refused(way, query, error, told):
    with pytest.raises(error, match=told):
        await ranked(Reranker(Given(1.0)), way, query, ["a"])


@both
@pytest.mark.parametrize("bad", [None, 7, b"bytes", ["a"], {"text": "a"}, Path("a")])
async def test_one_bad_text_is_refused_with_its_index_and_value(way, bad):
    with pytest.raises(TypeError, match=f"text 2 is not a string but {type(bad).__name__}") as e:
        await ranked(Reranker(Given(1.0)), way, "q", ["a", "b", bad, None])
    assert repr(bad) in str(e.value)


def test_a_huge_bad_text_does_not_fill_the_message():
    with pytest.raises(TypeError) as caught:
        Reranker(Given(1.0)).rank("q", [["x"] * 10_000])
    assert len(str(caught.value)) < 300


@both
@pytest.mark.parametrize(
    ("texts", "told"),
    [("a b c", "not one str"), (b"abc", "not one bytes"), (None, "not NoneType"), (7, "not int")],
)
async def test_texts_that_are_no_list_are_refused(way, texts, told):
    with pytest.raises(TypeError, match=f"texts must be a list of strings, {told}"):
        await ranked(Reranker(Given(1.0)), way, "q", texts)


@both
@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"top_n": -1}, ValueError),
        ({"top_n": 1.5}, TypeError),
        ({"threshold": 1.5}, ValueError),
        ({"threshold": "0.5"}, TypeError),
    ],
)
async def test_a_bad_setting_is_refused_even_where_there_is_nothing_to_rank(way, settings, error):
    with pytest.raises(error, match=next(iter(settings))):
        await ranked(Reranker(Given()), way, "q", [], **settings)


@both
@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ((1.0, math.nan, 2.0), "at indices 1"),
        ((1.0, 2.0), "2 scores for 3"),
        ((), "0 scores for 3"),
    ],
)
async def test_scores_that_cannot_be_ranked_are_refused(way, scores, told):
    with pytest.raises(ScoreError, match=told):
        await ranked(Reranker(Given(*scores)), way, "q", list("abc"))


@both
async def test_the_scorers_own_error_surfaces_as_it_is(way):
    error = ConnectionResetError("server gone")

    class Broken:
        def score(self, query, texts):
            raise error

    with pytest.raises(ConnectionResetError) as caught:
        await ranked(Reranker(Broken()), way, "q", ["a"])
    assert caught.value is error


# --- construction ---


@pytest.mark.parametrize("model", [None, 7, object(), Given, ["bge-reranker-v2-m3"]])
def test_what_is_no_model_is_refused_with_its_value(model):
    with pytest.raises(TypeError, match="model must be a name, a folder or an object") as caught:
        Reranker(model)
    assert repr(model) in str(caught.value)


def test_options_of_a_ready_scorer_are_refused():
    with pytest.raises(ValueError, match="max_length cannot be set"):
        Reranker(Given(), max_length=512)


def test_an_unknown_model_is_told():
    with pytest.raises(ModelLoadError, match="Did you mean 'colbertv2'"):
        Reranker("colbert-v2")


def test_a_reranker_shows_what_it_is(make):
    folder = make("bert_reranker")
    assert repr(Reranker(Given())) == "Reranker('Given')"
    assert repr(Reranker(folder, device="cpu")) == f"Reranker({str(folder)!r})"
    assert Reranker(folder, device="cpu", max_length=64).options == ModelOptions(
        device="cpu", max_length=64
    )


# --- real models ---


@pytest.mark.parametrize("kind", [XLMR, STANFORD], ids=str)
@pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")
def test_a_real_model_ranks_by_the_reference_scores(kind, loader, make):
    expected = reference(kind, make)(QUERY, MIXED)
    hits = Reranker(loader(kind)).rank(QUERY, MIXED)
    assert [hit.index for hit in hits] == sorted(
        range(len(MIXED)), key=expected.__getitem__, reverse=True
    )
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected, reverse=True), abs=1e-4)
    if kind is XLMR:
        assert hits[0].relevance == pytest.approx(1 / (1 + math.exp(-max(expected))), abs=1e-5)
    else:
        assert hits[0].relevance == pytest.approx(max(expected) / 32, abs=1e-5)


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
    engine, plain = reranker.scorer.engine, reranker.scorer.engine._forward
    third, release, batches = threading.Event(), threading.Event(), []

    def forward(batch):
        batches.append(len(batch))
        if len(batches) == 3:
            third.set()
            assert release.wait(20)
        return plain(batch)

    monkeypatch.setattr(engine, "_forward", forward)
    texts = [f"panda {'bear ' * n}" for n in range(20)]
    task = asyncio.create_task(reranker.arank(QUERY, texts))
    await asyncio.to_thread(third.wait, 20)
    cancelled = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.perf_counter() - cancelled < 1, "the task waited for its thread"
    release.set()
    await asyncio.sleep(0.3)
    assert len(batches) == 3, "the engine went on for nobody"
    monkeypatch.setattr(engine, "_forward", plain)
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


# --- processes ---


def test_a_pickled_reranker_loads_its_model_again(make):
    folder = make("bert_reranker")
    reranker = Reranker(folder, device="cpu", dtype="float32", max_length=64)
    data = pickle.dumps(reranker)
    assert len(data) < 2000, "weights do not travel"
    back = pickle.loads(data)
    assert back.options == reranker.options
    assert back.rank(QUERY, ["bear", "city"]) == reranker.rank(QUERY, ["bear", "city"])


def test_a_reranker_around_a_scorer_pickles_with_it():
    back = pickle.loads(pickle.dumps(Reranker(Length())))
    assert [hit.text for hit in back.rank("q", ["a", "bb"])] == ["bb", "a"]


def test_rerankers_that_are_dropped_are_freed(make):
    import gc
    import weakref

    reranker = Reranker(make("bert_reranker"), device="cpu", dtype="float32")
    reranker.rank(QUERY, ["bear"])
    model = weakref.ref(reranker.scorer.engine.model)
    del reranker
    gc.collect()
    assert model() is None, f"{sys.getrefcount(model())} references are left"


@pytest.mark.parametrize("texts", [{"a": 1, "b": 2}, {"a", "b"}], ids=["dict", "set"])
def test_texts_without_an_index_are_refused(texts):
    with pytest.raises(TypeError, match=type(texts).__name__):
        Reranker(Given(1.0, 2.0)).rank("q", texts)


@pytest.mark.parametrize(
    ("relevance", "told"),
    [([0.5], "1 scores for 2"), ([0.5, float("nan")], "indices 1"), ([0.5, 7.0], "7.0 at index 1")],
)
def test_a_scorer_with_a_wrong_relevance_is_told_so(relevance, told):
    class Calibrated(Given):
        def relevance(self, query, scores):
            return relevance

    with pytest.raises(ScoreError, match=told):
        Reranker(Calibrated(1.0, 2.0)).rank("q", ["a", "b"])


@pytest.mark.parametrize("scores", [None, ["high", "low"], 3.0])
def test_scores_that_are_no_numbers_are_told(scores):
    class Wrong:
        def score(self, query, texts):
            return scores

    with pytest.raises(ScoreError, match="a list of one number per text"):
        Reranker(Wrong()).rank("q", ["a", "b"])


def test_numpy_numbers_are_numbers():
    hits = Reranker(Given(1.0, 2.0)).rank(
        "q", ["a", "b"], top_n=np.int64(1), threshold=np.float32(0.1)
    )
    assert [hit.text for hit in hits] == ["b"]


class Subclass(Reranker):
    pass


def test_a_subclass_comes_back_from_a_pickle():
    assert type(pickle.loads(pickle.dumps(Subclass(Picklable())))) is Subclass


class Picklable:
    def score(self, query, texts):
        return [1.0 for _ in texts]


async def test_a_cut_under_arank_is_warned_about_at_the_callers_line(make):
    reranker = Reranker(make("bert_encoder"), device="cpu", dtype="float32", max_length=8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await reranker.arank("a panda", ["panda bear china " * 20, "a"])
    told = [warning for warning in caught if issubclass(warning.category, TruncationWarning)]
    assert [warning.filename for warning in told] == [__file__]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_ranks_although_a_thread_of_the_parent_was_ranking(make):
    reranker = Reranker(make("bert_encoder"), device="cpu", dtype="float32")
    reranker.rank("a panda", ["bear"])
    with reranker.scorer.engine._lock:  # as a thread in the middle of a forward pass holds it
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # a child that hangs is killed
            os._exit(0 if reranker.rank("a panda", ["bear"]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_program_that_ends_does_not_wait_for_queued_work():
    code = """
import asyncio, threading, time
from rag_rerankers import Reranker, check_cancelled
class Slow:
    def score(self, query, texts):
        for _ in range(600):
            check_cancelled(); time.sleep(0.1)
        return [0.0 for _ in texts]
async def many():
    await asyncio.gather(*[Reranker(Slow()).arank("q", ["a"]) for _ in range(3)])
threading.Thread(target=lambda: asyncio.run(many()), daemon=True).start()
time.sleep(0.5)
"""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], timeout=40, check=False, capture_output=True)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "call", ["reranker.rank('q', ['a'])", "asyncio.run(reranker.arank('q', ['a']))"]
)
def test_a_thread_that_outlives_the_main_one_gets_its_ranking(call):
    """As long as it is no daemon: the interpreter waits for it."""
    code = f"""
import asyncio, threading, time
from rag_rerankers import Reranker, check_cancelled
class Slow:
    def score(self, query, texts):
        for _ in range(10):
            check_cancelled(); time.sleep(0.1)
        return [0.0 for _ in texts]
reranker = Reranker(Slow())
threading.Thread(target=lambda: print(len({call}))).start()
time.sleep(0.3)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=40, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
