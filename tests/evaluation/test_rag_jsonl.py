from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.data_files import counts, examples, write, write_json

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.problems import Problems
from rag_rerankers.evaluation.rag_jsonl import read_rag_jsonl

GOOD = {"question": "good", "passages": ["panda", "bear"], "relevance": [1, 0]}


def read(path: Path, *rows: Any, **settings: Any) -> Collection:
    problems = Problems()
    collection = read_rag_jsonl(write_json(path / "mine.jsonl", rows), problems, **settings)
    assert not list(problems)
    return collection


def met(path: Path, *rows: Any) -> tuple[Collection, Problems, Path]:
    problems = Problems()
    file = write_json(path / "mine.jsonl", rows)
    return read_rag_jsonl(file, problems), problems, file


def test_questions_bring_passages_candidates_and_judgments(tmp_path: Path) -> None:
    second = {
        "id": "two",
        "query": "who",
        "kind": "person",
        "n": 3,
        "contexts": [
            {"text": "rust", "id": 9, "relevance": 0},
            {"text": "bear", "title": "Animals", "id": "b", "relevance": 2},
            "panda",
        ],
    }
    assert read(tmp_path, GOOD, second) == Collection(
        "mine",
        {"q1-1": "panda", "q1-2": "bear", "9": "rust", "b": "Animals\nbear"},
        {"q1": "good", "two": "who"},
        qrels={"q1": {"q1-1": 1, "q1-2": 0}, "two": {"9": 0, "b": 2}},
        given={"q1": ["q1-1", "q1-2"], "two": ["9", "b", "q1-1"]},
        fields={"q1": {}, "two": {"kind": "person"}},
    )


@pytest.mark.parametrize(
    "row",
    [
        {"passages": ["a", "b", "c"], "relevance": [0, 2, None]},
        {"documents": ["a", "b", "c"], "labels": [False, 2.0, None]},
        {"texts": [{"text": "a", "label": 0}, {"content": "b", "relevant": 2}, {"passage": "c"}]},
        {"candidates": [{"page_content": "a", "is_selected": 0}, {"text": "b", "label": 2}, "c"]},
        {"passages": [{"text": "a", "relevance": 1}, "b", "c"], "relevance": [0, 2, None]},
    ],
)
def test_grades_stand_beside_the_passages_or_in_a_list(tmp_path: Path, row: dict[str, Any]) -> None:
    collection = read(tmp_path, {"question": "what", **row})
    assert list(collection.documents.values()) == ["a", "b", "c"]
    assert collection.qrels == {"q1": {"q1-1": 0, "q1-2": 2}}


@pytest.mark.parametrize(
    ("row", "grades"),
    [
        ({"positives": ["a", "b"], "negatives": ["c"]}, [1, 1, 0]),
        ({"pos": "a", "neg": None}, [1]),
        ({"positive": [{"text": "a", "relevance": 5}]}, [1]),
    ],
)
def test_passages_may_come_as_positives_and_negatives(
    tmp_path: Path, row: dict[str, Any], grades: list[int]
) -> None:
    collection = read(tmp_path, {"question": "what", **row})
    assert list(collection.qrels["q1"].values()) == grades


def test_equal_texts_are_one_document_with_its_best_grade(tmp_path: Path) -> None:
    twice = {"question": "what", "passages": ["a", "b", "a"], "relevance": [0, 0, 2]}
    collection = read(tmp_path, twice, {"question": "who", "passages": ["b"], "relevance": [1]})
    assert collection.documents == {"q1-1": "a", "q1-2": "b"}
    assert collection.qrels == {"q1": {"q1-1": 2, "q1-2": 0}, "q2": {"q1-2": 1}}
    assert collection.given == {"q1": ["q1-1", "q1-2"], "q2": ["q1-2"]}


@pytest.mark.parametrize("name", ["my.data.jsonl", "my.jsonl.gz"])
def test_marks_blank_lines_and_gzip_change_nothing(tmp_path: Path, name: str) -> None:
    row = {"question": "a\u2028b", "passages": ["c\x85d\ne"], "relevance": [1]}
    content = f"\ufeff\r\n{json.dumps(row, ensure_ascii=False)}\r\n\r\n"
    collection = read_rag_jsonl(write(tmp_path / name, content), Problems())
    assert collection.name == "my"
    assert collection.queries == {"q2": "a\u2028b"}  # the number of its line
    assert collection.documents == {"q2-1": "c\x85d\ne"}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object: []"),
        ({"passages": ["a"]}, "no string 'question' (or 'query')"),
        ({"question": 5, "passages": ["a"]}, "no string 'question'"),
        ({"question": "x"}, "neither 'passages' nor 'positives'"),
        ({"question": "x", "negatives": ["a"]}, "neither 'passages' nor 'positives'"),
        ({"question": "x", "passages": {"a": 1}}, "not a list of passages: {'a': 1}"),
        ({"question": "x", "passages": [7]}, "passage 1 is neither a string nor an object: 7"),
        ({"question": "x", "passages": ["a", {"id": "b"}]}, "passage 2 has no string 'text'"),
        ({"question": "x", "passages": [{"text": 3}]}, "passage 1 has no string 'text': {'text'"),
        ({"question": "x", "passages": ["a"], "relevance": [1, 0]}, "a list of 1 grades"),
        ({"question": "x", "passages": ["a"], "relevance": []}, "a list of 1 grades"),
        ({"question": "x", "passages": ["a"], "relevance": 1}, "a list of 1 grades"),
        ({"question": "x", "passages": ["a"], "relevance": [0.5]}, "passage 1 is not a whole"),
        ({"question": "x", "passages": ["a"], "relevance": ["1"]}, "not a whole number: '1'"),
        ('{"question": "x", "passages": ["a"], "relevance": [NaN]}', "whole number: nan"),
        ('{"question": "x", "passages": ["a"], "relevance": [-Infinity]}', "whole number: -inf"),
    ],
)
def test_a_malformed_question_is_a_problem_with_its_line(
    tmp_path: Path, row: object, told: str
) -> None:
    collection, problems, file = met(tmp_path, GOOD, row, {**GOOD, "id": "after"})
    assert list(collection.queries) == ["q1", "after"]
    assert counts(problems) == {"a malformed line": 1}
    (example,) = examples(problems)
    assert example.startswith(f"{file}:2: ")
    assert told in example


def test_a_question_twice_keeps_the_first(tmp_path: Path) -> None:
    again = {"id": "a", "question": "again", "passages": ["z"], "relevance": [1]}
    collection, problems, file = met(tmp_path, {**GOOD, "id": "a"}, again)
    assert collection.queries == {"a": "good"}
    assert counts(problems) == {"a duplicate id": 1}
    assert examples(problems) == [f"{file}:2: question 'a' is there before"]


def test_a_passage_id_with_another_text_keeps_the_first(tmp_path: Path) -> None:
    rows = [
        {"question": text, "passages": [{"id": "d", "text": text}], "relevance": [1]}
        for text in ("old", "new")
    ]
    collection, problems, file = met(tmp_path, *rows)
    assert collection.documents == {"d": "old"}
    assert counts(problems) == {"a duplicate id": 1}
    assert examples(problems) == [f"{file}:2: passage 'd' has another text before"]


def test_a_question_without_judgments_is_left_out_and_its_passages_stay(tmp_path: Path) -> None:
    collection, problems, file = met(tmp_path, {"question": "x", "passages": ["a"]}, GOOD)
    assert list(collection.queries) == list(collection.given) == list(collection.fields) == ["q2"]
    assert list(collection.documents.values()) == ["a", "panda", "bear"]
    (problem,) = problems
    assert (problem.what, problem.remedy) == ("a query with no relevant passage", "leaves it out")
    assert problem.examples == (f"{file}:1: question 'q1': x",)


def test_a_question_with_nothing_above_0_counts_as_0(tmp_path: Path) -> None:
    nothing = {"question": "x", "passages": ["a"], "relevance": [0]}
    collection, problems, _ = met(tmp_path, nothing, GOOD)
    assert collection.qrels["q1"] == {"q1-1": 0}
    (problem,) = problems
    assert (problem.count, problem.remedy) == (1, "counts it as 0")


def test_without_judgments_nothing_is_missing(tmp_path: Path) -> None:
    collection = read(tmp_path, {"question": "x", "passages": ["a"]}, GOOD, judged=False)
    assert (list(collection.queries), collection.qrels) == (["q1", "q2"], {})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no question with passages"),
        ([{"question": "x", "passages": []}], "holds no question with passages"),
        ([{"question": "x", "passages": ["a"]}], "says of no passage that it is relevant"),
    ],
)
def test_a_file_with_nothing_to_rank_is_refused(
    tmp_path: Path, rows: list[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        met(tmp_path, *rows)
