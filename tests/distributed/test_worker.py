"""A worker as Ray calls it, without Ray."""

from __future__ import annotations

import pickle

import pytest
from tests.distributed.conftest import read
from tests.distributed.scorers import Length

import rag_rerankers
from rag_rerankers import ModelLoadError, ModelOptions, RerankError
from rag_rerankers.distributed.attempts import MOST, Attempts
from rag_rerankers.distributed.chunks import Chunk, cut, read_input
from rag_rerankers.distributed.models import model_of
from rag_rerankers.distributed.pairs import PairColumns, PairTask
from rag_rerankers.distributed.parts import Parts
from rag_rerankers.distributed.places import place
from rag_rerankers.distributed.worker import Assignment, Worker

pa = pytest.importorskip("pyarrow", reason="needs the extra 'ray'")

COLUMNS = PairColumns("query", "text", "score", "relevance", "error")


@pytest.fixture
def assignment(pairs, tmp_path):
    (tmp_path / "out").mkdir()

    def make(model=None, options=None, **changed):
        task = PairTask(model_of(model or Length(), options or ModelOptions()), COLUMNS, 8)
        told = {
            "task": pickle.dumps(task),
            "source": place(pairs),
            "parts": Parts(place(tmp_path / "out"), "d" * 64),
            "attempts": Attempts(place(tmp_path / "out"), "run"),
            "cpus": 1,
            "version": rag_rerankers.__version__,
            **changed,
        }
        return Assignment(**told)

    return make


def batch(*chunks):
    fields = ("number", "path", "first", "rows")
    return pa.Table.from_pylist([{name: getattr(c, name) for name in fields} for c in chunks])


def test_a_worker_makes_the_parts_of_its_chunks(assignment, pairs, tmp_path):
    chunks = list(cut(read_input([place(pairs)]).files, 40))
    told = Worker(assignment())(batch(*chunks)).to_pylist()
    assert [(row["number"], row["rows"], row["failure"]) for row in told] == [
        (0, 40, b""),
        (1, 30, b""),
        (2, 30, b""),
    ]
    assert [row["id"] for row in read(tmp_path / "out")] == list(range(100))


def test_a_part_that_is_there_is_not_made_again(assignment, pairs, tmp_path):
    chunk = Chunk(0, str(pairs / "a.parquet"), 0, 10)
    Worker(assignment())(batch(chunk))
    path = tmp_path / "out" / "part-000000.parquet"
    before = path.stat().st_mtime_ns
    (row,) = Worker(assignment())(batch(chunk)).to_pylist()
    assert (row["rows"], row["failure"]) == (10, b"")
    assert path.stat().st_mtime_ns == before


def failure(assignment, pairs):
    (row,) = Worker(assignment)(batch(Chunk(0, str(pairs / "a.parquet"), 0, 1))).to_pylist()
    return pickle.loads(row["failure"])


def test_a_model_that_cannot_be_loaded_is_told_as_that_error(assignment, pairs, tmp_path):
    options = ModelOptions(local_files_only=True)
    error = failure(assignment(str(tmp_path / "no-model"), options), pairs)
    assert type(error) is ModelLoadError
    assert "no-model" in str(error)


def test_a_task_that_cannot_be_read_there_is_told(assignment, pairs):
    gone = pickle.dumps(Length()).replace(
        b"tests.distributed.scorers", b"tests.distributed.absents"
    )
    assert isinstance(failure(assignment(task=gone), pairs), ModuleNotFoundError)


def test_two_versions_do_not_work_together(assignment, pairs):
    error = failure(assignment(version="0.0.1"), pairs)
    assert type(error) is RerankError
    assert "0.0.1" in str(error)
    assert rag_rerankers.__version__ in str(error)


def test_an_input_that_is_gone_ends_the_run(assignment, pairs):
    worker = Worker(assignment())
    (row,) = worker(batch(Chunk(0, str(pairs / "gone.parquet"), 0, 1))).to_pylist()
    assert isinstance(pickle.loads(row["failure"]), FileNotFoundError)


def test_an_error_that_does_not_travel_is_told_in_words(assignment, pairs, monkeypatch):
    class UnpicklableError(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a} and {b}")

    def read(self, chunk):
        raise UnpicklableError("this", "that")

    monkeypatch.setattr("rag_rerankers.distributed.chunks.RowReader.read", read)
    error = failure(assignment(), pairs)
    assert type(error) is RerankError
    assert str(error) == "UnpicklableError: this and that"


def test_a_chunk_that_was_begun_too_often_ends_the_run_and_is_named(assignment, pairs, tmp_path):
    chunk = Chunk(3, str(pairs / "a.parquet"), 20, 10)
    attempts = Attempts(place(tmp_path / "out"), "run")
    for _ in range(MOST - 1):
        attempts.begin(chunk)  # and the worker died
    (row,) = Worker(assignment())(batch(chunk)).to_pylist()
    assert row["failure"] == b"", "it is done at the last attempt, and forgotten"
    (tmp_path / "out" / "part-000003.parquet").unlink()
    for _ in range(MOST):
        attempts.begin(chunk)
    (row,) = Worker(assignment())(batch(chunk)).to_pylist()
    with pytest.raises(RerankError, match=r"rows 20 to 29 of .*a\.parquet ended 5 workers"):
        raise pickle.loads(row["failure"])
    later = assignment(attempts=Attempts(place(tmp_path / "out"), "another run"))
    (row,) = Worker(later)(batch(chunk)).to_pylist()
    assert row["failure"] == b""
