from __future__ import annotations

import csv
import json

import pytest

from rag_rerankers.evaluation import Collection, Run, compare, export_judgments, load_collection

NASTY = {
    "plain": "A giant panda eats bamboo.",
    "comma": 'He said "a, b; c", twice.',
    "lines": "one\ntwo\r\nthree\rfour\n",
    "formula": "=1+2",
    "plus": "+49 30 1234",
    "minus": "- a list",
    "at": "@SUM(A1)",
    "tab": "\t=1",
    "return": "\r=1",
    "quote": "'quoted'",
    "unicode": "東京 🐼 é \u2028 \x85",
    "empty": "",
}
FORMULAS = {"formula", "plus", "minus", "at", "tab", "return"}
QUESTION = '=what, "is" it?'


def export(path, texts, first, second, **settings):
    """One query, ``q``; the collection that was exported from."""
    collection = Collection("made", texts, {"q": QUESTION})
    comparison = compare(Run("old", {"q": [*first]}), Run("new", {"q": [*second]}))
    return export_judgments(path, comparison, collection, **settings)


def nasty(path):
    ids = [*NASTY]
    return export(path, NASTY, ids, ids[::-1], per_query=99)


def rows_of(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def judge(path, grades, delimiter=","):
    """Fill in the column, as a spreadsheet or a program would."""
    rows = [{**row, "relevance": grades.get(row["document_id"], "")} for row in rows_of(path)]
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            for row in rows:
                given = row["relevance"] if row["relevance"] != "" else None
                file.write(json.dumps({**row, "relevance": given}) + "\n")
        else:
            writer = csv.DictWriter(file, [*rows[0]], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)


def source(folder, texts):
    """The data that the passages came from, without judgments."""
    passages = [{"id": id_, "text": text} for id_, text in texts.items()]
    row = {"id": "q", "question": QUESTION, "passages": passages}
    path = folder / "questions.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    return path


both = pytest.mark.parametrize("name", ["judge.csv", "judge.jsonl"])


@both
def test_texts_come_through_whatever_is_in_them(name, tmp_path):
    path = tmp_path / name
    assert nasty(path) == len(NASTY)
    rows = rows_of(path)
    assert {row["document_id"] for row in rows} == {*NASTY}
    for row in rows:
        assert list(row) == ["query_id", "document_id", "relevance", "query", "text"]
        assert row["query_id"] == "q"
        assert not row["relevance"]
        text = NASTY[row["document_id"]]
        defused = name.endswith(".csv") and row["document_id"] in FORMULAS
        assert row["text"] == (f"'{text}" if defused else text)
        assert row["query"] == (f"'{QUESTION}" if name.endswith(".csv") else QUESTION)


@pytest.mark.parametrize(
    ("name", "delimiter"), [("judge.csv", ","), ("judge.csv", ";"), ("judge.jsonl", "")]
)
def test_what_was_filled_in_is_read_back_as_judgments(name, delimiter, tmp_path):
    path = tmp_path / name
    nasty(path)
    judge(path, {"comma": 2, "lines": 0, "formula": 1, "return": 3}, delimiter)
    collection = load_collection(source(tmp_path, NASTY), qrels=path)
    assert collection.qrels == {"q": {"comma": 2, "lines": 0, "formula": 1, "return": 3}}
    assert collection.problems == ()


@both
def test_a_very_long_passage_is_read_back(name, tmp_path):
    texts = {"long": "word " * 40_000, "short": "word"}
    path = tmp_path / name
    # A person's spreadsheet fills in the cell; Python's reader has a limit for one.
    export(path, texts, ["long", "short"], ["short", "long"])
    path.write_text(
        path.read_text(encoding="utf-8")
        .replace("q,long,,", "q,long,1,")
        .replace('"long", "relevance": null', '"long", "relevance": 1'),
        encoding="utf-8",
    )
    assert load_collection(source(tmp_path, texts), qrels=path).qrels == {"q": {"long": 1}}


def lotteries(path, n, seed=0):
    """For each of n queries, whether the document that the old run prefers stands first."""
    queries = [f"q{i}" for i in range(n)]
    collection = Collection("made", {"a": "x", "b": "y"}, dict.fromkeys(queries, "?"))
    old, new = (dict.fromkeys(queries, ranking) for ranking in (["a", "b"], ["b", "a"]))
    comparison = compare(Run("old", old), Run("new", new))
    assert export_judgments(path, comparison, collection, seed=seed) == 2 * n
    rows = rows_of(path)
    assert [row["query_id"] for row in rows[::2]] == queries
    return [row["document_id"] == "a" for row in rows[::2]]


@both
def test_the_order_does_not_tell_which_ranking_likes_a_passage(name, tmp_path):
    path = tmp_path / name
    # A fair coin falls outside of 35..65 of 100 once in 700 times; this one falls alike always.
    assert 35 <= sum(lotteries(path, 100)) <= 65
    for word in ("old", "new", "rank", "score"):
        assert word not in path.read_text(encoding="utf-8")


@both
def test_the_lot_is_the_same_at_every_call_and_another_by_another_seed(name, tmp_path):
    path = tmp_path / name
    drawn = lotteries(path, 30)
    assert drawn == lotteries(path, 30)
    assert drawn != lotteries(path, 30, seed=1)


@pytest.mark.parametrize(("per_query", "ids"), [(1, "e"), (2, "ea"), (99, "eabcd")])
def test_the_passages_that_differ_most_are_chosen(per_query, ids, tmp_path):
    path = tmp_path / "judge.csv"
    # e moved from 5 to 1: 4/5. a from 1 to 2: 1/2. b from 2 to 3, c from 3 to 4, d from 4 to 5.
    n = export(path, dict.fromkeys("abcde", "x"), "abcde", "eabcd", per_query=per_query)
    assert n == len(ids)
    assert sorted(row["document_id"] for row in rows_of(path)) == sorted(ids)


@both
def test_passages_without_a_text_are_left_out(name, tmp_path):
    path = tmp_path / name
    assert export(path, {"a": "x"}, ["a", "lost"], ["lost", "a"]) == 1
    assert [row["document_id"] for row in rows_of(path)] == ["a"]


@both
def test_equal_rankings_leave_nothing_to_judge(name, tmp_path):
    path = tmp_path / name
    assert export(path, {"a": "x"}, ["a"], ["a"]) == 0
    assert rows_of(path) == []


def test_five_passages_of_a_query_unless_told_otherwise(tmp_path):
    ids = "abcdefgh"
    assert export(tmp_path / "judge.csv", dict.fromkeys(ids, "x"), ids, ids[::-1]) == 5


@pytest.mark.parametrize("name", ["judge.tsv", "judge", "judge.csv.gz", "judge.json"])
def test_another_ending_is_refused_and_nothing_written(name, tmp_path):
    with pytest.raises(ValueError, match=r"\.csv or \.jsonl, not to") as caught:
        export(tmp_path / name, {"a": "x"}, ["a"], [])
    assert repr(name) in str(caught.value)
    assert not any(tmp_path.iterdir())
