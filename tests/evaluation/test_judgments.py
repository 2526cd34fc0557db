from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.evaluation.data_files import counts, examples, write

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.judgments import LocatedQrels, checked, read_qrels
from rag_rerankers.evaluation.problems import Problems

EXPECTED = {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": -1}}
COLUMNS = "query_id,question,document_id,text,relevance"


def grades(located: LocatedQrels) -> dict[str, dict[str, int]]:
    return {q: {d: grade for d, (grade, _) in judged.items()} for q, judged in located.items()}


def read(path: Path) -> dict[str, dict[str, int]]:
    problems = Problems()
    located = read_qrels(path, problems)
    assert not list(problems)
    return grades(located)


def judged_json(*rows: tuple[object, object, object]) -> str:
    return "".join(
        json.dumps({"query_id": query, "document_id": document, "relevance": grade}) + "\n"
        for query, document, grade in rows
    )


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td1\t-1\n"),
        ("a.tsv", "\ufeffquery-id\tcorpus-id\tscore\r\nq1\td1\t2\r\nq1\td2\t0\r\nq2\td1\t-1"),
        ("a.tsv", "q1\td1\t2\nq1\td2\t0\n\nq2\td1\t-1\n"),
        ("a.tsv", "q1\td1\t2.0\nq1\td2\t0\nq2\td1\t -1 \n"),
        ("a.txt", "q1 0 d1 2\nq1 0 d2 0\nq2 Q0 d1 -1\n"),
        ("a", "q1\t0\td1\t2\nq1  0\td2 0\n\nq2 0 d1 -1"),
        ("a.csv", f"{COLUMNS}\nq1,,d1,x,2\nq1,,d2,x,0\nq1,,d3,x,\nq2,,d1,x,-1\n"),
        ("a.csv", f"\ufeff{COLUMNS}\r\nq1,,d1,x,2\r\nq1,,d2,x,0\r\nq2,,d1,x,-1\r\n"),
        ("a.csv", "query_id;text;document_id;relevance\nq1;a,b;d1;2\nq1;,,,;d2;0\nq2;;d1;-1\n"),
        ("a.csv", f'{COLUMNS}\nq1,"a,\r\n""b"";\n",d1,x,2\nq1,,d2,"\n\n",0\nq2,,d1,x, -1 \n'),
        ("a.csv", "relevance,document_id,query_id\n2,d1,q1\n0,d2,q1\n ,d4,q1\n-1,d1,q2\n"),
        (
            "a.jsonl",
            judged_json(("q1", "d1", 2), ("q1", "d2", 0), ("q1", "d3", None), ("q2", "d1", -1)),
        ),
        ("a.jsonl", judged_json(("q1", "d1", 2.0), ("q1", "d2", False), ("q2", "d1", "-1"))),
    ],
)
def test_judgments_are_read_from_every_format(
    tmp_path: Path, name: str, content: str, ending: str
) -> None:
    assert read(write(tmp_path / f"{name}{ending}", content)) == EXPECTED


def test_ids_with_spaces_stand_between_tabs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "q 1\tmy file.pdf\t1\nq 1\tmy 2nd file.pdf\t0\n")
    assert read(path) == {"q 1": {"my file.pdf": 1, "my 2nd file.pdf": 0}}


def test_numbers_as_ids_are_strings(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.jsonl", judged_json((1, 2, 3)))) == {"1": {"2": 3}}
    assert read(write(tmp_path / "a.txt", "1 0 2 3\n")) == {"1": {"2": 3}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "a\tb\tc\n\nq1\td1\t1\n"),
        ("a.csv", 'query_id,document_id,relevance\nq0,d0,\n"q1",d1,1\n'),
        ("a.jsonl", "\n\n" + judged_json(("q1", "d1", 1))),
    ],
)
def test_every_judgment_knows_its_line(tmp_path: Path, name: str, content: str) -> None:
    located = read_qrels(write(tmp_path / name, content), Problems())
    assert located == {"q1": {"d1": (1, 3)}}


@pytest.mark.parametrize("grade", ["0.5", "nan", "inf", "-inf", "1e999", "high", "1,5"])
@pytest.mark.parametrize(
    ("name", "first", "row"),
    [
        ("a.tsv", "q1\td1\t1\n", "q1\td2\t{}\n"),
        ("a.txt", "q1 0 d1 1\n", "q1 0 d2 {}\n"),
        ("a.csv", "query_id,document_id,relevance\n", 'q1,d2,"{}"\n'),
        ("a.jsonl", judged_json(("q1", "d1", 1)), judged_json(("q1", "d2", "{}"))),
    ],
)
def test_a_grade_is_a_whole_number(
    tmp_path: Path, name: str, first: str, row: str, grade: str
) -> None:
    problems = Problems()
    path = write(tmp_path / name, first + row.replace("{}", grade))
    located = read_qrels(path, problems)
    assert "d2" not in located.get("q1", {})
    assert counts(problems) == {"a malformed line": 1}
    assert examples(problems) == [f"{path}:2: the grade '{grade}' is not a whole number"]


@pytest.mark.parametrize("grade", ["NaN", "Infinity", "[1]", "{}", "0.5"])
def test_a_grade_in_json_is_a_whole_number(tmp_path: Path, grade: str) -> None:
    problems = Problems()
    row = f'{{"query_id": "q1", "document_id": "d1", "relevance": {grade}}}\n'
    assert read_qrels(write(tmp_path / "a.jsonl", row), problems) == {}
    assert counts(problems) == {"a malformed line": 1}


@pytest.mark.parametrize("grade", ["0.5", "nan", "inf"])
def test_a_first_line_with_a_wrong_grade_is_no_heading(tmp_path: Path, grade: str) -> None:
    problems = Problems()
    read_qrels(write(tmp_path / "a.tsv", f"q1\td1\t{grade}\nq1\td2\t1\n"), problems)
    assert counts(problems) == {"a malformed line": 1}


@pytest.mark.parametrize(
    ("bad", "n_columns"), [("q1 d1", 2), ("q1", 1), ("q1 Q0 d1 1 2.5 tag", 6), ("q 1\td1\tx\t1", 5)]
)
def test_another_number_of_columns_is_a_problem(tmp_path: Path, bad: str, n_columns: int) -> None:
    problems = Problems()
    path = write(tmp_path / "a.tsv", f"q1\td2\t1\n{bad}\nq1\td3\t1\n")
    assert grades(read_qrels(path, problems)) == {"q1": {"d2": 1, "d3": 1}}
    told = f"{path}:2: {n_columns} columns, not 3 (BEIR) or 4 (TREC): {bad}"
    assert examples(problems) == [told]


def test_a_second_heading_is_a_problem(tmp_path: Path) -> None:
    problems = Problems()
    read_qrels(write(tmp_path / "a.tsv", "a\tb\tscore\na\tb\tscore\n"), problems)
    assert counts(problems) == {"a malformed line": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "q1\td1\t1\nq2\td1\t1\nq1\td1\t2\n"),
        ("a.txt", "q1 0 d1 1\nq2 0 d1 1\nq1 0 d1 2\n"),
        ("a.jsonl", judged_json(("q1", "d1", 1), ("q2", "d1", 1), ("q1", "d1", 2))),
    ],
)
def test_a_pair_judged_twice_keeps_the_first(tmp_path: Path, name: str, content: str) -> None:
    problems = Problems()
    path = write(tmp_path / name, content)
    assert grades(read_qrels(path, problems)) == {"q1": {"d1": 1}, "q2": {"d1": 1}}
    assert counts(problems) == {"a pair judged twice": 1}
    assert examples(problems) == [f"{path}:3: 'q1', 'd1' is judged before, in line 1"]


def test_a_csv_file_needs_its_columns(tmp_path: Path) -> None:
    for content in ("query_id,document_id\nq1,d1\n", ""):
        with pytest.raises(DataError, match=r"a\.csv:1: no column '(relevance|query_id)'"):
            read_qrels(write(tmp_path / "a.csv", content), Problems())


def test_an_object_without_an_id_is_a_problem(tmp_path: Path) -> None:
    problems = Problems()
    path = write(tmp_path / "a.jsonl", '{"query_id": "q1", "relevance": 1}\n')
    assert read_qrels(path, problems) == {}
    assert examples(problems) == [f"{path}:1: no 'document_id' in it"]


def test_a_cell_may_hold_a_whole_book(tmp_path: Path) -> None:
    content = f"query_id,document_id,relevance,text\nq1,d1,1,{'x' * 200_000}\nq1,d2,0,y\n"
    located = read_qrels(write(tmp_path / "a.csv", content), Problems())
    assert located == {"q1": {"d1": (1, 2), "d2": (0, 3)}}


def test_cells_that_were_defused_are_read_as_they_were(tmp_path: Path) -> None:
    content = "query_id,document_id,relevance\n'=q1,'+d1,1\nit's,'quoted',1\n"
    located = read_qrels(write(tmp_path / "a.csv", content), Problems())
    assert located == {"=q1": {"+d1": (1, 2)}, "it's": {"'quoted'": (1, 3)}}


def check(located: LocatedQrels) -> tuple[dict[str, dict[str, int]], Problems]:
    problems = Problems()
    return checked(located, Path("qrels"), {"d1", "d2"}, {"q1", "q2"}, problems), problems


def test_judgments_of_known_texts_pass() -> None:
    qrels, problems = check({"q1": {"d1": (1, 1), "d2": (0, 2)}, "q2": {"d2": (3, 3)}})
    assert qrels == {"q1": {"d1": 1, "d2": 0}, "q2": {"d2": 3}}
    assert not list(problems)


def test_judgments_of_unknown_queries_are_left_out_and_counted_a_query() -> None:
    qrels, problems = check({"q8": {"d1": (1, 4), "d9": (1, 5)}, "q1": {"d1": (1, 6)}})
    assert qrels == {"q1": {"d1": 1}}
    assert counts(problems) == {"a judgment of an unknown query": 1}
    assert examples(problems) == ["qrels:4: there is no query 'q8'"]


def test_judgments_of_unknown_documents_stay_and_are_counted() -> None:
    qrels, problems = check({"q1": {"d7": (1, 2), "d1": (0, 3), "d8": (0, 4)}})
    assert qrels == {"q1": {"d7": 1, "d1": 0, "d8": 0}}
    assert counts(problems) == {"a judgment of an unknown document": 2}
    assert examples(problems)[1] == "qrels:4: there is no document 'd8'"


@pytest.mark.parametrize("grade", [0, -2])
def test_a_query_with_nothing_above_0_stays_and_is_counted(grade: int) -> None:
    qrels, problems = check({"q1": {"d1": (grade, 7)}})
    assert qrels == {"q1": {"d1": grade}}
    assert counts(problems) == {"a query with no relevant passage": 1}
    assert examples(problems) == ["qrels:7: query 'q1' has judgments, but none above 0"]
