from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.data_files import CORPUS, QUERIES, counts, examples, write, write_beir

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.beir import read_beir
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.problems import Problems

SPLITS = {"qrels/test.tsv": "q1\td1\t1\n", "qrels/dev.tsv": "q2\td2\t1\n"}


def read(folder: Path, **settings: Any) -> Collection:
    problems = Problems()
    collection = read_beir(folder, problems, **settings)
    assert not list(problems)
    return collection


def test_a_folder_is_read(tmp_path: Path) -> None:
    assert read(write_beir(tmp_path / "zoo")) == Collection(
        "zoo",
        {"d1": "panda", "d2": "bear", "d3": "rust"},
        {"q1": "what", "q2": "who"},
        qrels={"q1": {"d1": 1}, "q2": {"d2": 1}},
        fields={"q1": {}, "q2": {}},
    )


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(("mark", "end"), [("", "\n"), ("\ufeff", "\r\n"), ("", "\n\n")])
def test_marks_line_ends_and_gzip_change_nothing(
    tmp_path: Path, ending: str, mark: str, end: str
) -> None:
    expected = read(write_beir(tmp_path / "a" / "zoo"))
    folder = tmp_path / "b" / "zoo"
    for name, rows in (("corpus", CORPUS), ("queries", QUERIES)):
        content = mark + "".join(json.dumps(row) + end for row in rows)
        write(folder / f"{name}.jsonl{ending}", content)
    write(folder / f"qrels.tsv{ending}", f"{mark}q\td\ts{end}q1\td1\t1{end}q2\td2\t1{end}")
    assert read(folder) == expected


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "b"}, "b"),
        ({"title": "a", "text": "b"}, "a\nb"),
        ({"title": "", "text": "b"}, "b"),
        ({"title": None, "text": "b"}, "b"),
        ({"title": 7, "text": "b"}, "b"),
        ({"title": "a", "text": ""}, "a\n"),
        ({"text": "a\u2028b\r\nc\n\nd\x85e"}, "a\u2028b\r\nc\n\nd\x85e"),
    ],
)
def test_a_title_stands_above_the_text(tmp_path: Path, row: dict[str, Any], text: str) -> None:
    folder = write_beir(tmp_path, corpus=[{"_id": "d1", **row}, *CORPUS[1:]])
    assert read(folder).documents["d1"] == text


def test_numbers_are_ids_and_the_same_ones_as_their_digits(tmp_path: Path) -> None:
    folder = write_beir(
        tmp_path,
        corpus=[{"_id": 7, "text": "panda"}],
        queries=[{"_id": 1, "text": "what"}],
        qrels="1\t7\t1\n",
    )
    collection = read(folder)
    assert (collection.documents, collection.queries) == ({"7": "panda"}, {"1": "what"})
    problems = Problems()
    write_beir(folder, corpus=[{"_id": 7, "text": "a"}, {"_id": "7", "text": "b"}], qrels="q1 7 1")
    assert read_beir(folder, problems).documents == {"7": "a"}
    assert counts(problems)["a duplicate id"] == 1


def test_words_beside_a_question_and_in_its_metadata_are_its_fields(tmp_path: Path) -> None:
    first = {"_id": "q1", "text": "what", "title": "t", "lang": "en", "n": 1, "tags": ["a"]}
    second = {"_id": "q2", "text": "who", "metadata": {"kind": "person", "n": 2}, "lang": "de"}
    collection = read(write_beir(tmp_path, queries=[first, second]))
    assert collection.fields == {"q1": {"lang": "en"}, "q2": {"kind": "person", "lang": "de"}}


@pytest.mark.parametrize("metadata", [None, "text", ["a"], {}])
def test_metadata_that_is_no_object_is_no_field_but_a_word_is_one(
    tmp_path: Path, metadata: object
) -> None:
    queries = [{"_id": "q1", "text": "what", "metadata": metadata}, QUERIES[1]]
    expected = {"metadata": "text"} if metadata == "text" else {}
    assert read(write_beir(tmp_path, queries=queries)).fields["q1"] == expected


def test_a_split_keeps_its_queries_and_calls_the_others_no_mistake(tmp_path: Path) -> None:
    folder = write_beir(tmp_path, qrels=SPLITS)
    assert read(folder).queries == {"q1": "what"}
    dev = read(folder, split="dev")
    assert (dev.queries, dev.qrels, dev.fields) == (
        {"q2": "who"},
        {"q2": {"d2": 1}},
        {"q2": {}},
    )


def test_the_order_of_the_queries_is_that_of_their_file(tmp_path: Path) -> None:
    folder = write_beir(tmp_path, qrels="q2\td2\t1\nq1\td1\t1\n")
    assert list(read(folder).queries) == ["q1", "q2"]


def test_one_file_of_judgments_is_about_all_queries(tmp_path: Path) -> None:
    problems = Problems()
    folder = write_beir(tmp_path, qrels="q2\td2\t1\n")
    assert read_beir(folder, problems).queries == {"q2": "who"}
    assert counts(problems) == {"a query with no relevant passage": 1}
    told = f"{folder / 'queries.jsonl'}:1: query 'q1' is not judged in qrels.tsv"
    assert examples(problems) == [told]


def test_one_file_goes_before_splits(tmp_path: Path) -> None:
    folder = write_beir(tmp_path, qrels={**SPLITS, "qrels.tsv": "q1\td3\t1\nq2\td3\t1\n"})
    assert read(folder).qrels == {"q1": {"d3": 1}, "q2": {"d3": 1}}


def test_judgments_of_their_own_replace_those_of_the_folder(tmp_path: Path) -> None:
    own = write(tmp_path / "own.txt", "q2 0 d3 1\n")
    collection = read(write_beir(tmp_path / "zoo"), qrels=own)
    assert (collection.queries, collection.qrels) == ({"q2": "who"}, {"q2": {"d3": 1}})


def test_without_judgments_all_questions_are_kept(tmp_path: Path) -> None:
    collection = read(write_beir(tmp_path, qrels={}), judged=False)
    assert (list(collection.queries), collection.qrels) == (["q1", "q2"], {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": []}, r"corpus\.jsonl holds no document"),
        ({"queries": []}, r"queries\.jsonl holds no query"),
        ({"qrels": {}}, "has no judgments"),
        ({"qrels": ""}, r"qrels\.tsv judges none of the queries of .*queries\.jsonl"),
        ({"qrels": "q9\td1\t1\n"}, r"qrels\.tsv judges none of the queries"),
        ({"qrels": {"qrels/dev.tsv.gz": "q1\td1\t1\n"}}, r"there are dev\.tsv\.gz: .*--split"),
    ],
)
def test_empty_files_and_missing_judgments_are_refused_even_leniently(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = write_beir(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        read_beir(folder, Problems(lenient=True))


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_beir(tmp_path)
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"has no {name} or {name}.gz"):
        read_beir(folder, Problems(lenient=True))
