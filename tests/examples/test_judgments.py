from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ragdemo.judgments import (
    KINDS,
    Judgment,
    JudgmentError,
    Question,
    Unresolved,
    load_questions,
    resolve,
)
from ragdemo.passages import Passage, python_docs

FILE = Path(__file__).parents[2] / "examples" / "data" / "questions.jsonl"


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return load_questions(FILE)


def question(*judgments: Judgment, ident: str = "q") -> Question:
    return Question(ident, "What?", "paraphrase", "That.", judgments)


def passage(ident: str, text: str) -> Passage:
    return Passage(ident, "T", text, "s")


def record(**changes: Any) -> str:
    judgment = {"passage": "a/b/1", "grade": 2, "quote": "words"}
    fields = {
        "id": "q1",
        "question": "What?",
        "kind": "paraphrase",
        "answer": "That.",
        "judgments": [judgment],
    }
    return json.dumps({**fields, **changes})


def test_the_file_is_large_and_balanced_enough(questions: list[Question]) -> None:
    kinds = Counter(question.kind for question in questions)
    assert len(questions) >= 72
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 24


def test_every_question_has_an_answer_and_every_trap_a_wrong_one(
    questions: list[Question],
) -> None:
    for question in questions:
        grades = [judgment.grade for judgment in question.judgments]
        assert 2 in grades, question.id
        if question.kind == "keyword-trap":
            assert 0 in grades, question.id
        if question.kind == "multi-passage":
            assert sum(grade > 0 for grade in grades) >= 3, question.id


def test_no_passage_is_judged_twice_for_a_question(questions: list[Question]) -> None:
    for question in questions:
        ids = [judgment.passage for judgment in question.judgments]
        assert len(ids) == len(set(ids)), question.id


def test_quotes_are_short_and_collapsed(questions: list[Question]) -> None:
    for question in questions:
        for judgment in question.judgments:
            assert len(judgment.quote) <= 120
            assert judgment.quote == " ".join(judgment.quote.split())


def test_the_judgments_are_found_on_this_python(questions: list[Question]) -> None:
    qrels, unresolved = resolve(questions, python_docs())
    total = sum(len(question.judgments) for question in questions)
    lost = [found for found in unresolved if found.judgment]
    if sys.version_info[:3] == (3, 11, 7):  # the release that was judged; others say it otherwise
        assert lost == []
        assert len(qrels) == len(questions)
    else:
        assert len(lost) <= 0.05 * total
        assert len(qrels) >= len(questions) - 2


def test_a_quote_is_found_at_the_same_id_first() -> None:
    judged = question(Judgment("a/b/2", 2, "the same words"))
    passages = [passage("a/b/1", "the same words"), passage("a/b/2", "and\n   the same  words")]
    assert resolve([judged], passages) == ({"q": {"a/b/2": 2}}, [])


def test_a_quote_that_moved_is_found_where_it_is_now() -> None:
    judged = question(Judgment("with/the-with-statement/2", 1, "it's wrapped"))
    passages = [
        passage("with/the-with-statement/2", "something else"),
        passage("async/x/1", "it\u2019s wrapped"),
        passage("with/the-with-statement/3", "here it\u2019s\nwrapped too"),
    ]
    assert resolve([judged], passages) == ({"q": {"with/the-with-statement/3": 1}}, [])


def test_judgments_that_meet_count_with_the_higher_grade() -> None:
    judged = question(Judgment("a/b/1", 1, "one"), Judgment("a/b/2", 2, "two"))
    assert resolve([judged], [passage("a/b/1", "one two")])[0] == {"q": {"a/b/1": 2}}
    judged = question(Judgment("a/b/1", 2, "one"), Judgment("a/b/2", 0, "two"))
    assert resolve([judged], [passage("a/b/1", "one two")])[0] == {"q": {"a/b/1": 2}}


def test_a_question_without_relevant_passage_is_reported_not_scored() -> None:
    lost, zero = Judgment("a/b/1", 2, "gone"), Judgment("a/b/2", 0, "still here")
    qrels, unresolved = resolve([question(lost, zero)], [passage("a/b/2", "still here")])
    assert qrels == {}
    assert unresolved == [
        Unresolved("q", lost, "no passage contains 'gone'"),
        Unresolved("q", None, "no passage of grade 1 or 2 found"),
    ]


def test_a_good_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(f"{record()}\n\n{record(id='q2', judgments=[])}\n", encoding="utf-8")
    first, second = load_questions(file)
    assert first == question(Judgment("a/b/1", 2, "words"), ident="q1")
    assert second.judgments == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "line 2: not JSON"),
        ("[1]", r"line 2: a JSON object is needed, not '\[1\]'"),
        (record(id="q0"), "line 2: id 'q0' was used in line 1"),
        (record(id=""), "line 2: field 'id' must be a text, not ''"),
        (record(question=None), "line 2: field 'question' must be a text, not None"),
        (record(answer=3), "line 2: field 'answer' must be a text, not 3"),
        (record(kind="easy"), "line 2: kind 'easy' is unknown; use one of paraphrase"),
        (record(judgments="x"), "line 2: 'judgments' must be a list of objects, not 'x'"),
        (record(judgments=["x"]), "line 2: 'judgments' must be a list"),
        (
            record(judgments=[{"passage": "a", "grade": 3, "quote": "w"}]),
            "line 2: grade 3 is not one of 0, 1 and 2",
        ),
        (record(judgments=[{"passage": "a", "grade": True, "quote": "w"}]), "grade True"),
        (record(judgments=[{"passage": "a", "grade": [], "quote": "w"}]), r"grade \[\]"),
        (record(judgments=[{"passage": "a", "grade": "2", "quote": "w"}]), "grade '2'"),
        (record(judgments=[{"passage": "a", "grade": 1.0, "quote": "w"}]), "grade 1.0"),
        (record(judgments=[{"passage": "a", "grade": 1}]), "field 'quote' must be a text"),
        (record(judgments=[{"grade": 1, "quote": "w"}]), "field 'passage' must be a text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(f"{record(id='q0')}\n{line}\n", encoding="utf-8")
    with pytest.raises(JudgmentError, match=message) as caught:
        load_questions(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_an_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(content)
    with pytest.raises(JudgmentError, match="no question in it"):
        load_questions(file)


def test_a_missing_or_unreadable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JudgmentError, match=r"cannot read the questions in .*nowhere"):
        load_questions(tmp_path / "nowhere.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JudgmentError, match="cannot read the questions"):
        load_questions(tmp_path / "latin.jsonl")
