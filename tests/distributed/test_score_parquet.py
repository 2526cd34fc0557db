"""On a local Ray with two workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.distributed.conftest import read, rows, write
from tests.distributed.scorers import AlwaysKills, Killer, Length
from tests.local_ray import needs_ray
from typer.testing import CliRunner

from rag_rerankers import DataError, ModelLoadError, ModelOptions, Reranker, RerankError
from rag_rerankers.cli import app
from rag_rerankers.distributed import score_parquet

needs_ray()
pytestmark = [pytest.mark.enable_socket, pytest.mark.usefixtures("cluster")]

FLOAT32 = ModelOptions(device="cpu", dtype="float32")


def test_every_row_comes_out_with_the_score_that_it_has_in_process(pairs, tmp_path, make):
    folder = make("bert_reranker")
    told = []
    report = score_parquet(
        pairs, tmp_path / "out", model=folder, options=FLOAT32, part_rows=30, tell=told.append
    )
    found = read(tmp_path / "out")
    assert [row["id"] for row in found] == list(range(100)), "in the order of the input"
    assert [row["text"] for row in found] == [row["text"] for row in rows(0, 100)]
    reranker = Reranker(folder, device="cpu", dtype="float32")
    for query in ("q0", "q7"):
        mine = [row for row in found if row["query"] == query]
        hits = reranker.rank(query, [row["text"] for row in mine])
        for hit in hits:
            assert mine[hit.index]["score"] == pytest.approx(hit.score, abs=1e-5)
            assert mine[hit.index]["relevance"] == pytest.approx(hit.relevance, abs=1e-5)
    assert {row["error"] for row in found} == {None}
    # 70 rows make parts of 30, 30 and 10; 30 make one.
    assert (report.rows, report.texts, report.done, report.failed) == (100, 100, 100, 0)
    assert (report.parts, report.present) == (4, 0)
    assert report.tokens > 1000
    assert sum(told) == 100


def test_a_list_of_texts_a_row_gives_lists_that_are_as_long(tmp_path):
    import pyarrow as pa

    path = write(
        tmp_path / "asked.parquet",
        [
            {"query": "q", "texts": ["aa", None, "a"]},
            {"query": None, "texts": ["aaa"]},
            {"query": "q", "texts": []},
            {"query": "q", "texts": None},
        ],
        texts=pa.list_(pa.string()),
    )
    report = score_parquet(path, tmp_path / "out", model=Length(), text_column="texts")
    found = read(tmp_path / "out")
    assert [row["score"] for row in found] == [[2.0, None, 1.0], [None], [], None]
    assert [row["error"] for row in found] == [
        [None, "the text is missing (null)", None],
        ["the query is missing (null)"],
        [],
        ["the list of texts is missing (null)"],
    ]
    assert (report.rows, report.texts, report.failed) == (4, 5, 3)


def test_what_fails_comes_out_with_its_reason_and_the_others_are_scored(tmp_path):
    given = rows(0, 50)
    given[3]["text"] = None
    given[20]["query"] = None
    path = write(tmp_path / "in.parquet", given)
    report = score_parquet(path, tmp_path / "out", model=Length("number 33"), part_rows=20)
    found = read(tmp_path / "out")
    wrong = {row["id"]: row["error"] for row in found if row["error"] is not None}
    assert wrong == {
        3: "the text is missing (null)",
        20: "the query is missing (null)",
        33: "RuntimeError: cannot read 'number 33'",
    }
    assert [row["id"] for row in found if row["score"] is None] == [3, 20, 33]
    assert all(row["score"] == len(row["text"]) for row in found if row["id"] not in wrong)
    assert (report.failed, report.done) == (3, 47)


def test_failed_parts_are_made_again_on_request(tmp_path):
    path = write(tmp_path / "in.parquet", rows(0, 50))
    out = tmp_path / "out"
    flag = tmp_path / "mended"
    first = score_parquet(path, out, model=FailsUntil(str(flag)), part_rows=10)
    assert first.failed == 1
    flag.touch()
    again = score_parquet(path, out, model=FailsUntil(str(flag)), part_rows=10)
    assert (again.present, again.failed) == (5, 1)
    mended = score_parquet(path, out, model=FailsUntil(str(flag)), part_rows=10, retry_failed=True)
    assert (mended.present, mended.failed) == (4, 0)
    assert [row["score"] for row in read(out)] == [float(n) for n in range(50)]


class FailsUntil:
    """Defined in a test: it travels by value, where a module cannot be imported."""

    def __init__(self, flag):
        self.flag = flag

    def score(self, query, texts):
        if not Path(self.flag).exists() and any(text.endswith("number 25") for text in texts):
            raise OSError("a disk was full")
        return [float(text.split()[-1]) for text in texts]


def test_a_worker_that_is_killed_costs_no_row(pairs, tmp_path):
    scorer = Killer(str(tmp_path), at="number 42")
    report = score_parquet(pairs, tmp_path / "out", model=scorer, part_rows=10)
    assert (tmp_path / "killed").exists()
    found = read(tmp_path / "out")
    assert [row["id"] for row in found] == list(range(100))
    assert all(row["score"] == len(row["text"]) for row in found)
    assert (report.rows, report.failed, report.parts) == (100, 0, 10)
    assert len(list(tmp_path.glob("log-*"))) == 3, "two workers, and one for the one killed"
    assert not (tmp_path / "out" / "_unfinished").exists()


DRIVER = """
import os, sys
from tests.distributed.scorers import Killer
from tests.local_ray import local_ray
from rag_rerankers.distributed import score_parquet
source, out, folder = sys.argv[1:]
with local_ray():
    scorer = Killer(folder, at="number 77", victim=os.getpid())
    score_parquet(source, out, model=scorer, part_rows=10)
"""


def test_a_run_whose_driver_was_killed_goes_on_where_it_was(pairs, tmp_path):
    out, logs = tmp_path / "out", tmp_path / "logs"
    logs.mkdir()
    scorer = Killer(str(logs), at="number 77", victim=1 << 22)
    driver = subprocess.run(
        [sys.executable, "-c", DRIVER, pairs, out, logs],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
        check=False,
        capture_output=True,
    )
    assert driver.returncode == -signal.SIGKILL, driver.stderr.decode()
    _wait_for_the_end_of_its_ray(logs)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert 0 < len(before) < 10
    for log in logs.glob("log-*"):
        log.unlink()
    # Its settings are those of the first run: the scorer is known by its class.
    report = score_parquet(pairs, out, model=scorer, part_rows=10)
    assert report.present == len(before)
    found = read(out)
    assert [row["id"] for row in found] == list(range(100))
    assert all(row["score"] == len(row["text"]) for row in found)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert {name: after[name] for name in before} == before
    scored = [line for log in logs.glob("log-*") for line in log.read_text().splitlines()]
    assert len(scored) == 100 - 10 * len(before), "only what was missing"


def _wait_for_the_end_of_its_ray(logs):
    """Workers of a driver that is gone end by themselves; until then they may still write."""
    pids = [int(log.name.split("-")[1]) for log in logs.glob("log-*")]
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_text_that_kills_every_worker_ends_the_run_and_keeps_what_is_done(tmp_path):
    path = write(tmp_path / "in.parquet", rows(0, 10))
    with pytest.raises(RerankError, match=r"rows 0 to 9 of .*in\.parquet ended 5 workers"):
        score_parquet(path, tmp_path / "out", model=AlwaysKills(), workers=1)


def test_a_model_that_is_not_there_ends_the_run_with_that_error(pairs, tmp_path):
    started = time.monotonic()
    with pytest.raises(ModelLoadError, match="no-such-model"):
        score_parquet(
            pairs,
            tmp_path / "out",
            model=str(tmp_path / "no-such-model"),
            options=ModelOptions(local_files_only=True),
            workers=1,
        )
    assert time.monotonic() - started < 60
    assert list((tmp_path / "out").glob("*.parquet")) == []


def test_another_setting_or_input_is_refused_and_named(pairs, tmp_path):
    out = tmp_path / "out"
    first = score_parquet(pairs, out, model=Length(), part_rows=50)
    again = score_parquet(pairs, out, model=Length(), part_rows=50, workers=1, batch_size=7)
    assert (again.present, again.parts, again.rows) == (3, 3, 100)
    assert (again.tokens, again.failed) == (first.tokens, first.failed)
    with pytest.raises(DataError, match=r"part_rows was 50 and is 60"):
        score_parquet(pairs, out, model=Length(), part_rows=60)
    with pytest.raises(DataError, match=r"model was '.*Length' and is '.*Killer'"):
        score_parquet(pairs, out, model=Killer(str(tmp_path), at="x"), part_rows=50)
    write(pairs / "b.parquet", rows(70, 99))
    with pytest.raises(DataError, match=r"b\.parquet has been changed"):
        score_parquet(pairs, out, model=Length(), part_rows=50)
    (pairs / "b.parquet").unlink()
    with pytest.raises(DataError, match=r"b\.parquet belonged to the input"):
        score_parquet(pairs, out, model=Length(), part_rows=50)


def test_the_command_prints_what_it_did(pairs, tmp_path, make):
    options = ("--model", make("bert_reranker"), "--dtype", "float32", "--part-rows", "50")
    command = ("distribute", "score", pairs, "-o", tmp_path / "out", "--json", *options)
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["rows"], told["failed"], told["parts"]) == (100, 0, 3)
    assert [row["id"] for row in read(tmp_path / "out")] == list(range(100))
