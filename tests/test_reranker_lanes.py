"""Many callers of one model on one, two and four lanes: nobody sees the others in his scores."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.kinds import CROSS_ENCODERS, LATE_INTERACTION, reference
from tests.samples import random_texts, sentence

from rag_rerankers import ModelOptions, Reranker, load_scorer
from rag_rerankers.engine.linear import int8_is_there

KINDS = [CROSS_ENCODERS[0], LATE_INTERACTION[0]]
DTYPES = ["float32", "int8"] if int8_is_there() else ["float32"]
pytestmark = pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning")


@pytest.fixture(scope="module", params=KINDS, ids=str)
def kind(request):
    return request.param


@pytest.fixture(scope="module", params=[1, 2, 4])
def n_lanes(request):
    return request.param


@pytest.fixture(scope="module", params=DTYPES)
def crowd(request, kind, make, n_lanes):
    """A reranker, jobs, and the scores of each when it is the only one.

    Exact in float32: from the reference. In int8: one after the other.
    """
    folder = make(kind.maker, **kind.settings)
    options = ModelOptions(device="cpu", dtype=request.param, batch_tokens=200, max_length=100)
    before = torch.get_num_threads()
    torch.set_num_threads(n_lanes)
    scorer = load_scorer(folder, options)
    torch.set_num_threads(before)
    assert scorer.engine._lanes.count == n_lanes
    chosen = random.Random(8)
    queries = [sentence(chosen, n) for n in (1, 4, 12)]
    texts = ["", *random_texts(5, 11, longest=70)]
    jobs = [
        (chosen.choice(queries), chosen.sample(texts, chosen.choice([1, 1, 2, 4])))
        for _ in range(200)
    ]
    score = reference(kind, make, 100) if request.param == "float32" else scorer.score
    scores = {query: dict(zip(texts, score(query, texts), strict=True)) for query in queries}
    assert len({value for some in scores.values() for value in some.values()}) == 36
    yield Reranker(scorer), jobs, scores
    torch.set_num_threads(before)


def check(jobs, scores, found) -> None:
    for (query, texts), hits in zip(jobs, found, strict=True):
        wanted = {text: scores[query][text] for text in texts}
        got = {hit.text: hit.score for hit in hits}
        # Only the last sums, of the head or the maxima, know of the others; they are in float32.
        assert got == pytest.approx(wanted, abs=1e-5, rel=2e-6)


def test_32_threads_get_the_scores_of_one(crowd):
    reranker, jobs, scores = crowd
    start = threading.Barrier(32)

    def work(number: int):
        start.wait(20)
        return [reranker.rank(*job) for job in jobs[number::32]]

    with ThreadPoolExecutor(32) as threads:
        found = list(threads.map(work, range(32)))
    for number, hits in enumerate(found):
        check(jobs[number::32], scores, hits)


async def test_200_tasks_get_the_scores_of_one(crowd):
    reranker, jobs, scores = crowd
    check(jobs, scores, await asyncio.gather(*(reranker.arank(*job) for job in jobs)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_children_forked_while_others_rank_get_the_scores_of_one(crowd):
    reranker, jobs, scores = crowd
    stop = threading.Event()

    def work(number: int) -> int:
        done = 0
        while not stop.is_set():
            reranker.rank(*jobs[(number + 7 * done) % 200])
            done += 1
        return done

    with ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(work, number) for number in range(4)]
        try:
            for number in range(3):
                child = os.fork()
                if child == 0:
                    signal.alarm(30)  # a child that hangs is killed
                    right = False
                    try:
                        check(jobs[:5], scores, [reranker.rank(*job) for job in jobs[:5]])
                        right = True
                    finally:
                        os._exit(0 if right else 1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, number
        finally:
            stop.set()
        assert all(future.result(20) for future in busy), "the parent's threads go on"
