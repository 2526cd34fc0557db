from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.data_files import CORPUS, QUERIES, write, write_beir, write_json

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.loading import load_collection

BOTH = "q1\td1\t1\nq2\td2\t1\n"
RAG = {"question": "what", "passages": ["panda", "bear"], "relevance": [1, 0]}

MISTAKES: list[Any] = [
    # What is written, the kind, how often, where, which value is told.
    (
        {
            "corpus": [*CORPUS, '{"_id": "d'],
        },
        "a malformed line",
        1,
        "corpus.jsonl:4",
        '{"_id": "d',
    ),
    ({"corpus": ["[1]", *CORPUS]}, "a malformed line", 1, "corpus.jsonl:1", "[1]"),
    ({"corpus": [*CORPUS, {"text": "x9"}]}, "a malformed line", 1, "corpus.jsonl:4", "x9"),
    ({"corpus": [*CORPUS, {"_id": "d9"}]}, "a malformed line", 1, "corpus.jsonl:4", "d9"),
    ({"corpus": [*CORPUS, {"_id": 1.5, "text": ""}]}, "a malformed line", 1, "jsonl:4", "1.5"),
    ({"corpus": [*CORPUS, {"_id": True, "text": ""}]}, "a malformed line", 1, "jsonl:4", "True"),
    ({"corpus": [*CORPUS, {"_id": "d9", "text": 8}]}, "a malformed line", 1, "jsonl:4", "8"),
    (
        {"queries": [*QUERIES, {"_id": "q9", "text": None}]},
        "a malformed line",
        1,
        "s.jsonl:3",
        "q9",
    ),
    ({"corpus": [*CORPUS, CORPUS[1]]}, "a duplicate id", 1, "corpus.jsonl:4", "'d2'"),
    ({"queries": [*QUERIES, *QUERIES]}, "a duplicate id", 2, "queries.jsonl:3", "'q1'"),
    ({"qrels": BOTH + "q1\td3\t0.5\n"}, "a malformed line", 1, "qrels.tsv:3", "'0.5'"),
    ({"qrels": BOTH + "q1\td3\tNaN\n"}, "a malformed line", 1, "qrels.tsv:3", "'NaN'"),
    ({"qrels": BOTH + "q1\td3\tinf\n"}, "a malformed line", 1, "qrels.tsv:3", "'inf'"),
    ({"qrels": BOTH + "q1 d3\n"}, "a malformed line", 1, "qrels.tsv:3", "q1 d3"),
    ({"qrels": BOTH + "q1\td1\t0\n"}, "a pair judged twice", 1, "qrels.tsv:3", "'q1', 'd1'"),
    ({"qrels": BOTH + "q1\td8\t1\n"}, "a judgment of an unknown document", 1, "tsv:3", "'d8'"),
    ({"qrels": BOTH + "q7\td1\t1\n"}, "a judgment of an unknown query", 1, "tsv:3", "'q7'"),
    ({"qrels": "q1\td1\t1\n"}, "a query with no relevant passage", 1, "queries.jsonl:2", "'q2'"),
    (
        {"qrels": {"qrels/test.tsv": "q1\td1\t1\nq2\td1\t0\n"}},
        "a query with no relevant passage",
        1,
        "test.tsv:2",
        "'q2'",
    ),
]


@pytest.mark.parametrize(("changes", "what", "count", "place", "value"), MISTAKES)
def test_every_mistake_is_refused_or_counted(
    tmp_path: Path, changes: dict[str, Any], what: str, count: int, place: str, value: str
) -> None:
    folder = write_beir(tmp_path, **changes)
    with pytest.raises(DataError) as caught:
        load_collection(folder)
    assert f"{what} ({count}; --lenient" in str(caught.value)
    (line,) = (line for line in str(caught.value).splitlines() if f"{place}: " in line)
    assert str(folder) in line
    assert value in line.split(place)[1]
    collection = load_collection(folder, lenient=True)
    assert [(problem.what, problem.count) for problem in collection.problems] == [(what, count)]
    assert collection.documents == {"d1": "panda", "d2": "bear", "d3": "rust"}
    assert collection.queries["q1"] == "what"
    assert collection.qrels["q1"]["d1"] == 1


def test_bytes_that_are_not_utf_8_are_refused_or_counted(tmp_path: Path) -> None:
    folder = write_beir(tmp_path)
    write(folder / "queries.jsonl", (folder / "queries.jsonl").read_bytes() + b'{"caf\xe9": 1}\n')
    with pytest.raises(DataError, match=r"queries\.jsonl:3: not UTF-8"):
        load_collection(folder)
    (problem,) = load_collection(folder, lenient=True).problems
    assert (problem.what, problem.count) == ("a malformed line", 1)


def test_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    folder = write_beir(tmp_path, corpus=["{", *CORPUS], queries=["[]", *QUERIES], qrels="x\n")
    write(folder / "qrels.tsv", BOTH + "x\n")
    with pytest.raises(DataError) as caught:
        load_collection(folder)
    for place in ("corpus.jsonl:1", "queries.jsonl:1", "qrels.tsv:3", "a malformed line (3;"):
        assert place in str(caught.value)


@pytest.mark.parametrize("data", ["zoo", "mine.jsonl"])
def test_where_every_line_is_malformed_the_lines_are_told(tmp_path: Path, data: str) -> None:
    write_beir(tmp_path / "zoo", corpus=[{"id": "d1", "contents": "panda"}])
    write_json(tmp_path / "mine.jsonl", [{"prompt": "what", "passages": ["panda"]}])
    with pytest.raises(DataError, match=r"\.jsonl:1: "):
        load_collection(tmp_path / data)


def test_unjudged_queries_of_a_split_are_no_mistake(tmp_path: Path) -> None:
    folder = write_beir(
        tmp_path, qrels={"qrels/test.tsv": "q1\td1\t1\n", "qrels/dev.tsv": "q2\td2\t1\n"}
    )
    assert list(load_collection(folder).queries) == ["q1"]
    dev = load_collection(str(folder), split="dev")
    assert (list(dev.queries), dev.problems) == (["q2"], ())


@pytest.mark.parametrize("as_path", [True, False])
def test_a_file_of_questions_is_loaded(tmp_path: Path, as_path: bool) -> None:
    path = write_json(tmp_path / "mine.jsonl", [RAG])
    collection = load_collection(path if as_path else os.fspath(path))
    assert (collection.name, collection.qrels) == ("mine", {"q1": {"q1-1": 1, "q1-2": 0}})


def test_mistakes_in_a_file_of_questions_are_refused_or_counted(tmp_path: Path) -> None:
    path = write_json(tmp_path / "mine.jsonl", [RAG, {"question": "x", "passages": 7}, "{"])
    with pytest.raises(DataError, match=r"mine\.jsonl:2: not a list of passages: 7"):
        load_collection(path)
    (problem,) = load_collection(path, lenient=True).problems
    assert (problem.what, problem.count) == ("a malformed line", 2)


def test_judgments_in_a_file_of_their_own_replace_the_others(tmp_path: Path) -> None:
    rows = [{"question": "what", "passages": ["panda"]}, {**RAG, "id": "two"}]
    path = write_json(tmp_path / "mine.jsonl", rows)
    own = write(tmp_path / "own.csv", "query_id,document_id,relevance\nq1,q1-1,2\n")
    collection = load_collection(path, qrels=own)
    assert (collection.queries, collection.qrels) == ({"q1": "what"}, {"q1": {"q1-1": 2}})
    folder = write_beir(tmp_path / "zoo", qrels={})
    assert load_collection(folder, qrels=write(tmp_path / "t", "q2 0 d1 1\n")).qrels == {
        "q2": {"d1": 1}
    }


@pytest.mark.parametrize("data", ["zoo", "mine.jsonl"])
@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "own.tsv cannot be read"), ("", "judges none"), ("x\ty\t1\n", "judges none")],
)
def test_judgments_of_their_own_that_judge_nothing_are_refused(
    tmp_path: Path, data: str, content: str | None, message: str
) -> None:
    write_beir(tmp_path / "zoo")
    write_json(tmp_path / "mine.jsonl", [RAG])
    if content is not None:
        write(tmp_path / "own.tsv", content)
    with pytest.raises(DataError, match=message):
        load_collection(tmp_path / data, qrels=tmp_path / "own.tsv", lenient=True)


def test_mistakes_in_judgments_of_their_own_are_refused_or_counted(tmp_path: Path) -> None:
    path = write_json(tmp_path / "mine.jsonl", [RAG])
    own = write(tmp_path / "own.txt", "q1 0 q1-1 1\nq1 0 d9 1\n")
    with pytest.raises(DataError, match=r"own\.txt:2: there is no document 'd9'"):
        load_collection(path, qrels=own)
    (problem,) = load_collection(path, qrels=own, lenient=True).problems
    assert problem.count == 1


def test_judgments_that_are_given_but_not_needed_are_read_from_folders_too(tmp_path: Path) -> None:
    own = write(tmp_path / "own.txt", "q2 0 d1 1\n")
    collection = load_collection(write_beir(tmp_path / "zoo"), qrels=own, judged=False)
    assert collection.qrels == {"q2": {"d1": 1}}


def test_without_judgments_every_question_is_kept(tmp_path: Path) -> None:
    path = write_json(tmp_path / "mine.jsonl", [{"question": "what", "passages": ["panda"]}])
    assert load_collection(path, judged=False).queries == {"q1": "what"}
    folder = write_beir(tmp_path / "zoo", qrels={})
    assert list(load_collection(folder, judged=False).queries) == ["q1", "q2"]


@pytest.mark.parametrize("raw", [b"plain text", b"\x1f\x8b\x08\x00cut"])
def test_a_file_that_is_not_what_its_name_says_is_refused_even_leniently(
    tmp_path: Path, raw: bytes
) -> None:
    folder = write_beir(tmp_path)
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(raw)
    with pytest.raises(DataError, match=r"corpus\.jsonl\.gz cannot be read"):
        load_collection(folder, lenient=True)


def test_without_ir_datasets_an_unknown_name_is_told_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(DataError) as caught:
        load_collection("nowhere/at/all")
    assert "there is no folder or file 'nowhere/at/all'" in str(caught.value)
    assert 'pip install "rag-rerankers[datasets]"' in str(caught.value)
