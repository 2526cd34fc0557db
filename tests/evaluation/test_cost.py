from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest

from rag_rerankers import ModelOptions
from rag_rerankers.evaluation import cost as cost_module
from rag_rerankers.evaluation.cost import (
    Cost,
    Latency,
    Probe,
    latency,
    probe_alone,
    probe_here,
    told,
)

CPU = ModelOptions(device="cpu", dtype="float32", max_length=64, local_files_only=True)


class Clock:
    """Stands in for the module ``time``; it stands still until somebody moves it."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Slow:
    """A scorer whose calls take so long on the clock, by turns."""

    def __init__(self, clock, *seconds):
        self.clock = clock
        self.seconds = seconds
        self.calls = []

    def score(self, query, texts):
        self.clock.now += self.seconds[len(self.calls) % len(self.seconds)]
        self.calls.append((query, list(texts)))
        return [0.0] * len(texts)


@pytest.fixture
def clock(monkeypatch):
    stopped = Clock()
    monkeypatch.setattr(cost_module, "time", stopped)
    return stopped


def sizes(calls):
    return [len(texts) for _, texts in calls]


def texts(n):
    return [f"t{i}" for i in range(n)]


# --- summaries ---


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        # Between the ranks: at .95 of the way from the first to the last.
        ([0.010, 0.030, 0.020], Latency(3, 4.0, 20.0, 29.0)),
        ([0.5], Latency(1, 4.0, 500.0, 500.0)),
        ([0.002, 0.001], Latency(2, 4.0, 1.5, 1.95)),
        ([i / 1000 for i in range(101)], Latency(101, 4.0, 50.0, 95.0)),
    ],
    ids=lambda value: str(value)[:30],
)
def test_percentiles_worked_by_hand(seconds, expected):
    assert latency(seconds, [4] * len(seconds)) == expected


@pytest.mark.parametrize(("counts", "median"), [([1, 9, 3], 3.0), ([1, 2], 1.5), ([50], 50.0)])
def test_texts_of_a_call_are_the_median(counts, median):
    assert latency([0.1] * len(counts), counts).texts == median


@pytest.mark.parametrize(("tokens", "expected"), [(30.0, 3000.0), (None, None)])
def test_tokens_per_second(tokens, expected):
    cost = Cost(latency([0.1], [10]), 100.0, tokens, 0, None, None, Probe())
    assert cost.tokens_per_second == expected


def test_a_probe_is_told_as_one_line_of_json():
    line = told(Probe(one=Latency(3, 1.0, 2.0, 3.0), rss_peak=5))
    assert "\n" not in line
    assert json.loads(line) == {
        "one": {"calls": 3, "texts": 1.0, "p50": 2.0, "p95": 3.0},
        "eight": None,
        "load_seconds": None,
        "rss_before": None,
        "rss_peak": 5,
        "device_peak": None,
    }


# --- in this process ---


def test_calls_of_one_and_of_eight_texts_are_timed(clock):
    # The first call of each kind warms up (9 seconds here) and is not timed.
    scorer = Slow(clock, 9.0, *[0.25] * 9, 9.0, 0.5)
    found = probe_here(scorer, [("q", texts(9))])
    assert sizes(scorer.calls) == [1] * 10 + [8] * 2
    assert found == Probe(one=Latency(9, 1.0, 250.0, 250.0), eight=Latency(1, 8.0, 500.0, 500.0))


def test_full_batches_of_each_question_in_turn(clock):
    scorer = Slow(clock, 0.001)
    probe_here(scorer, [("q1", texts(17)), ("q2", ["other"] * 9)])
    eights = [call for call in scorer.calls if len(call[1]) == 8]
    first, second = texts(17)[:8], texts(17)[8:16]
    assert eights == [("q1", first), ("q1", first), ("q2", ["other"] * 8), ("q1", second)]
    singles = [call[0] for call in scorer.calls if len(call[1]) == 1]
    assert singles[:5] == ["q1", "q1", "q2", "q1", "q2"]
    assert {call[0] for call in scorer.calls} == {"q1", "q2"}


@pytest.mark.parametrize(
    ("seconds", "timed"),
    [
        (0.001, 40),  # enough is known
        (1.0, 4),  # 3 seconds are over
        (20.0, 3),  # a slow model is called a few times nevertheless
    ],
)
def test_a_probe_ends_in_time(seconds, timed, clock):
    scorer = Slow(clock, seconds)
    found = probe_here(scorer, [("q", texts(8))] * 50)
    assert found.one.calls == found.eight.calls == timed
    assert sizes(scorer.calls) == [1] * (timed + 1) + [8] * (timed + 1)


@pytest.mark.parametrize(
    ("sample", "n_one"), [([], 0), ([("q", [])], 0), ([("q", texts(7)), ("r", texts(7))], 14)]
)
def test_without_eight_texts_there_are_no_calls_of_eight(sample, n_one, clock):
    found = probe_here(Slow(clock, 0.001), sample)
    assert found.eight is None
    assert (found.one.calls if found.one else 0) == n_one


# --- in a process of its own ---


def test_a_process_of_its_own_tells_time_and_memory(make):
    sample = [("what is a panda?", ["bear " * n for n in range(1, 10)]), ("\ud800 東京", ["lone"])]
    found = probe_alone(str(make("bert_reranker")), CPU, sample)
    assert found.one.calls == 10
    assert found.eight.calls == 1
    for batch in (found.one, found.eight):
        assert 0 < batch.p50 <= batch.p95
    assert found.load_seconds > 0
    assert 0 < found.rss_before < found.rss_peak
    # Python and torch are there before: torch alone has more, the model of some kilobytes less.
    assert found.rss_before > 150_000_000
    assert found.device_peak is None


def test_a_model_that_cannot_be_loaded_is_not_probed():
    # Refused before torch is imported, which takes seconds.
    refused = SimpleNamespace(as_kwargs=lambda: {"dtype": "int3"})
    assert probe_alone("any", refused, [("q", ["a"])]) is None


def test_a_process_that_dies_is_no_probe(monkeypatch):
    killed = subprocess.CompletedProcess([], -9, stdout='{"one": null', stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: killed)
    assert probe_alone("any", CPU, [("q", ["a"])]) is None
