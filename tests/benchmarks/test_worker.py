"""The protocol between the parent and the processes that score."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.contestants import Contestant
from benchmarks.interleave import run_heat
from benchmarks.peers.base import Config
from benchmarks.process import Worker, WorkerError, ask_fresh, plain

KEY = "tests.benchmarks.fake_peer:FAKE"
LOAD = {"do": "load", "peer": KEY, "model": "minilm-cross", "folder": "nowhere"}


@pytest.fixture
def worker():
    with Worker(Path(sys.executable), {"OMP_NUM_THREADS": "3"}, limit=60) as started:
        yield started


def _loaded(worker, **options):
    worker.ask({**LOAD, "config": {"label": "x", "dtype": "float32", "options": options}})
    return worker


def test_what_libraries_print_does_not_get_into_the_answers(worker):
    answer = _loaded(worker).ask({"do": "score", "count": 3, "scores": True})
    assert len(answer["scores"]) == 3
    assert 0 <= answer["seconds"] < 1
    assert answer["rss_peak"] > 1e6


def test_the_time_is_that_of_the_call(worker):
    assert 0.2 <= _loaded(worker, nap=0.2).ask({"do": "score", "count": 1})["seconds"] < 2


def test_variables_are_those_of_the_configuration(worker):
    answer = _loaded(worker, **{"break": "environment"}).ask(
        {"do": "score", "count": 1, "scores": True}
    )
    assert answer["scores"] == [3.0]


@pytest.mark.parametrize(
    ("fault", "message"), [("nan", "not finite"), ("length", "2 scores for 3 texts")]
)
def test_wrong_scores_are_a_failure_and_not_a_time(worker, fault, message):
    with pytest.raises(WorkerError, match=message):
        _loaded(worker, **{"break": fault}).ask({"do": "score", "count": 3})
    assert "seconds" in _loaded(worker).ask({"do": "score", "count": 3})


def test_a_process_that_dies_is_a_failure(worker):
    with pytest.raises(WorkerError, match="ended with 3"):
        _loaded(worker, **{"break": "exit"}).ask({"do": "score", "count": 1})


def test_a_process_that_hangs_is_ended():
    with Worker(Path(sys.executable), limit=1.5) as slow, pytest.raises(WorkerError, match="ended"):
        _loaded(slow, nap=60).ask({"do": "score", "count": 1})


def test_failures_name_no_paths_of_this_machine(worker):
    with pytest.raises(WorkerError) as caught:
        _loaded(worker, **{"break": "load"})
    assert str(caught.value) == "RuntimeError: no such file: .../secret"
    assert "\n" not in plain("two\nlines")


def test_a_function_in_a_fresh_process():
    with pytest.raises(WorkerError, match="KeyError"):
        ask_fresh("benchmarks.memory:measure_here", {})


def test_in_a_heat_everybody_runs_as_often_and_failures_stay():
    heat = [
        Contestant(KEY, Config("slow", options={"nap": 0.05}), ("best",)),
        Contestant(KEY, Config("bad", options={"break": "load"})),
        Contestant(KEY, Config("fast")),
    ]
    slow, bad, fast = run_heat(heat, "minilm-cross", Path("nowhere"), 4, rounds=2)
    assert len(slow["seconds"]) == len(fast["seconds"]) == 2
    assert min(slow["seconds"]) >= 0.05 > max(fast["seconds"])
    assert bad["error"].startswith("RuntimeError")
    assert "seconds" not in bad
    assert slow["agreement"] == fast["agreement"] == 1.0
    assert (slow["roles"], fast["roles"]) == (["best"], [])


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux only")
def test_when_memory_runs_out_a_contestant_dies_before_its_parent(worker):
    _loaded(worker)
    adjusted = Path(f"/proc/{worker._process.pid}/oom_score_adj").read_text("ascii")
    assert int(adjusted) > int(Path("/proc/self/oom_score_adj").read_text("ascii"))
