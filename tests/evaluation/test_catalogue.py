from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.data_files import write

from rag_rerankers.errors import DataError, MissingExtraError
from rag_rerankers.evaluation.bm25 import rank_by_bm25
from rag_rerankers.evaluation.catalogue import read_catalogue
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.loading import load_collection

NAME = "tests-of-evaluation/zoo"
DOCUMENTS = "d1\tthe panda\nd2\tthe bear\nd3\trust\n"
QUERIES = "q1\twhat\nq2\twho\nq3\tnobody judged it\n"
QRELS = "q2 0 d2 2\nq1 0 d1 1\nq1 0 d2 0\nq7 0 d1 1\n"
CANDIDATES = "q1 Q0 d3 1 0.5 t\nq1 Q0 d1 2 2.5 t\nq1 Q0 d2 3 1.5 t\n"

Register = Callable[..., str]


class Failing:
    """A download that a network would be needed for."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def path(self, force: bool = True) -> Path:
        if force:
            raise self._error
        return Path("never", "there")

    def stream(self) -> Any:
        raise self._error


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """Makes a data set of ir_datasets from the contents of files, or from downloads."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    ir_datasets: Any = pytest.importorskip("ir_datasets")
    formats = ir_datasets.formats
    makers = {
        "docs": formats.TsvDocs,
        "queries": formats.TsvQueries,
        "qrels": lambda source: formats.TrecQrels(source, {}),
        "scoreddocs": formats.TrecScoredDocs,
    }

    def make(**parts: Any) -> str:
        components = []
        for part, content in parts.items():
            source = content
            if isinstance(content, str):
                source = ir_datasets.util.LocalDownload(write(tmp_path / part, content))
            components.append(makers[part](source))
        made = ir_datasets.Dataset(*components)
        monkeypatch.setitem(ir_datasets.registry._registered, NAME, made)
        return NAME

    return make


@pytest.fixture
def zoo(register: Register) -> Collection:
    return load_collection(register(docs=DOCUMENTS, queries=QUERIES, qrels=QRELS))


def test_judged_queries_and_their_judgments_are_loaded(zoo: Collection) -> None:
    assert zoo.name == NAME
    assert zoo.queries == {"q1": "what", "q2": "who"}
    assert zoo.qrels == {"q1": {"d1": 1, "d2": 0}, "q2": {"d2": 2}}
    assert (zoo.given, zoo.problems) == ({}, ())


def test_documents_are_looked_up(zoo: Collection) -> None:
    assert zoo.documents["d2"] == "the bear"
    assert "d3" in zoo.documents
    assert "d9" not in zoo.documents
    with pytest.raises(KeyError):
        zoo.documents["d9"]
    assert dict(zoo.documents) == {"d1": "the panda", "d2": "the bear", "d3": "rust"}
    assert len(zoo.documents) == 3


def test_documents_are_counted_before_one_was_looked_up(zoo: Collection) -> None:
    assert len(zoo.documents) == 3
    assert "3 documents, 2 queries, 3 judgments" in repr(zoo)


def test_documents_are_searched_before_one_was_looked_up(zoo: Collection) -> None:
    assert rank_by_bm25(replace(zoo, queries={"q": "panda"}), 10).rankings == {"q": ["d1"]}


def test_candidates_of_the_data_are_given_best_first(register: Register) -> None:
    name = register(docs=DOCUMENTS, queries=QUERIES, qrels=QRELS, scoreddocs=CANDIDATES)
    assert load_collection(name).given == {"q1": ["d1", "d2", "d3"]}


def test_without_judgments_all_queries_are_loaded(register: Register) -> None:
    name = register(docs=DOCUMENTS, queries=QUERIES)
    collection = load_collection(name, judged=False)
    assert (list(collection.queries), collection.qrels) == (["q1", "q2", "q3"], {})


def test_judgments_of_their_own_stand_in_for_those_that_are_missing(
    register: Register, tmp_path: Path
) -> None:
    own = write(tmp_path / "own.tsv", "q3\td3\t1\n")
    collection = load_collection(register(docs=DOCUMENTS, queries=QUERIES), qrels=own)
    assert collection.queries == {"q3": "nobody judged it"}
    assert collection.qrels == {"q3": {"d3": 1}}


@pytest.mark.parametrize(
    ("parts", "missing"),
    [
        ({"docs": DOCUMENTS, "queries": QUERIES}, "judgments"),
        ({"docs": DOCUMENTS, "qrels": QRELS}, "queries"),
        ({"queries": QUERIES, "qrels": QRELS}, "documents"),
    ],
)
def test_a_data_set_that_lacks_a_part_is_refused(
    register: Register, parts: dict[str, str], missing: str
) -> None:
    with pytest.raises(DataError, match=f"'{NAME}' has no {missing}: use one of its subsets"):
        load_collection(register(**parts))


@pytest.mark.parametrize("name", ["nowhere", "msmarco-passage/dev/smal", "./data/missing.jsonl"])
def test_an_unknown_name_is_refused(register: Register, name: str) -> None:
    with pytest.raises(DataError, match=f"there is no data '{name}'.*ir-datasets.com"):
        load_collection(name)


@pytest.mark.parametrize("part", ["queries", "qrels", "scoreddocs"])
@pytest.mark.parametrize("error", [ConnectionError("no route"), RuntimeError("no route")])
def test_a_download_that_fails_is_told(register: Register, part: str, error: Exception) -> None:
    parts = {"docs": DOCUMENTS, "queries": QUERIES, "qrels": QRELS, part: Failing(error)}
    with pytest.raises(DataError, match=f"'{NAME}' cannot be had: no route"):
        load_collection(register(**parts))


def test_a_download_of_documents_that_fails_is_told(register: Register) -> None:
    failing = Failing(ConnectionError("no route"))
    with pytest.raises(DataError, match=f"'{NAME}' cannot be had: no route"):
        list(load_collection(register(docs=failing, queries=QUERIES, qrels=QRELS)).documents)


def test_without_the_library_its_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingExtraError, match=r"rag-rerankers\[datasets\]"):
        read_catalogue(NAME)
    with pytest.raises(DataError, match=rf"no folder or file '{NAME}'.*rag-rerankers\[datasets\]"):
        load_collection(NAME)
