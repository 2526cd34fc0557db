from __future__ import annotations

import gzip
import math
import tempfile
from pathlib import Path

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.data_files import counts, examples, write

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.problems import Problems
from rag_rerankers.evaluation.runs import Run, read_run, write_run

# Few scores and many documents make ties; some differ as 64-bit floats and not as 32-bit ones.
SCORES = (0.0, -0.0, 1.0, 1.0 + 1e-9, 1.0 - 1e-9, 1 + 2**-23, -3.5, 1e-40, 1e30, 16777216, 16777217)
IDS = ("d1", "d10", "d2", "D2", "a", "é", "z", "熊", "\uffee", "\U0001f43c", "-", "0")
SCORE = st.sampled_from(SCORES) | st.floats(-1e30, 1e30)
RANKED = st.dictionaries(st.sampled_from(IDS), SCORE, min_size=1)


def read(path: Path) -> Run:
    problems = Problems()
    run = read_run(path, problems)
    assert not list(problems)
    return run


def reciprocal_rank(run: dict[str, float], relevant: set[str]) -> float:
    """By trec_eval itself."""
    qrels = {"q": dict.fromkeys(relevant, 1)}
    values = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate({"q": run})
    return float(values["q"]["recip_rank"])


@given(RANKED, st.sets(st.sampled_from(IDS), min_size=1, max_size=2))
def test_runs_are_ordered_as_trec_eval_orders_them(
    scores: dict[str, float], relevant: set[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = (
            f"q Q0 {id_} {rank} {score!r} t" for rank, (id_, score) in enumerate(scores.items())
        )
        ranking = read(write(Path(folder, "run"), "\n".join(rows))).rankings["q"]
    ranks = [rank for rank, id_ in enumerate(ranking, 1) if id_ in relevant]
    assert sorted(ranking) == sorted(scores)
    assert reciprocal_rank(scores, relevant) == pytest.approx(1 / ranks[0] if ranks else 0)


@given(RANKED)
def test_each_place_of_a_run_is_the_one_that_trec_eval_sees(scores: dict[str, float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = (f"q Q0 {id_} 1 {score!r} t" for id_, score in scores.items())
        ranking = read(write(Path(folder, "run"), "\n".join(rows))).rankings["q"]
    expected = [1 / rank for rank in range(1, len(ranking) + 1)]
    assert [reciprocal_rank(scores, {id_}) for id_ in ranking] == pytest.approx(expected)


@given(
    st.lists(st.sampled_from(IDS), unique=True, min_size=1),
    st.none() | st.lists(SCORE | st.floats(), min_size=len(IDS), max_size=len(IDS)),
)
def test_what_is_written_keeps_its_order_for_trec_eval(
    ranking: list[str], scores: list[float] | None
) -> None:
    run = Run("mine", {"q": ranking}, {} if scores is None else {"q": scores[: len(ranking)]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        write_run(path, run)
        assert read(path).rankings == {"q": ranking}
        rows = [line.split() for line in path.read_text("utf-8").splitlines()]
    written = {row[2]: float(row[4]) for row in rows}
    expected = [1 / rank for rank in range(1, len(ranking) + 1)]
    assert [reciprocal_rank(written, {id_}) for id_ in ranking] == pytest.approx(expected)


@pytest.mark.parametrize(
    "scores",
    [
        [math.inf, math.inf, 3.0],
        [3.0, -math.inf, -math.inf],
        [1.0, 1.0 + 1e-12, 1.0],
        [0.0, 0.0, -0.0],
        [1.0, 2.0, 3.0],
        [1e300, 1e299, -1e300],
        [math.nan, math.nan, 1.0],
    ],
)
def test_scores_that_do_not_fall_are_written_falling(tmp_path: Path, scores: list[float]) -> None:
    # Ties by id would put c before b before a.
    write_run(tmp_path / "run", Run("mine", {"q": ["a", "b", "c"]}, {"q": scores}))
    assert read(tmp_path / "run").rankings == {"q": ["a", "b", "c"]}


def test_scores_that_fall_are_written_as_they_are(tmp_path: Path) -> None:
    run = Run("my  own run", {"q1": ["b", "a"], "q2": ["c"]}, {"q1": [2.5, -1.25], "q2": [0.5]})
    write_run(tmp_path / "run", run)
    assert (tmp_path / "run").read_bytes() == (
        b"q1 Q0 b 1 2.5 my_own_run\nq1 Q0 a 2 -1.25 my_own_run\nq2 Q0 c 1 0.5 my_own_run\n"
    )


def test_a_run_without_scores_is_written_with_the_places_from_below(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Run("", {"q": ["a", "b"]}))
    assert (tmp_path / "run").read_text() == "q Q0 a 1 2 run\nq Q0 b 2 1 run\n"


def test_gzipped_runs_are_written_and_read(tmp_path: Path) -> None:
    write_run(tmp_path / "mine.txt.gz", Run("x", {"q": ["熊", "b"]}, {"q": [2.0, 1.0]}))
    with gzip.open(tmp_path / "mine.txt.gz", "rt", encoding="utf-8") as file:
        assert file.readline() == "q Q0 熊 1 2 x\n"
    assert read(tmp_path / "mine.txt.gz") == Run("mine.txt", {"q": ["熊", "b"]}, {"q": [2.0, 1.0]})


@pytest.mark.parametrize(
    ("query_id", "doc_id"),
    [
        ("q", "a b"),
        ("q 1", "a"),
        ("q", ""),
        ("", "a"),
        ("q", "a\u2003b"),
        ("q", "a\n"),
        ("q\t", "a"),
        ("q 1", ""),
    ],
)
def test_ids_with_white_space_are_refused(tmp_path: Path, query_id: str, doc_id: str) -> None:
    with pytest.raises(ValueError, match="white space"):
        write_run(tmp_path / "run", Run("mine", {query_id: [doc_id]}))


@pytest.mark.parametrize("name", ["run.txt", "run.txt.gz"])
def test_the_column_of_ranks_is_ignored_and_ties_go_by_id(tmp_path: Path, name: str) -> None:
    content = (
        "\ufeffq2 Q0 d1 1 0.5 t\r\n\r\n"
        "q1\tQ0\td1\t1\t1\tt\r\n"
        "q1 Q0 d10 2 1.00000000001 t\r\n"
        "q1 Q0 d2 3 1e0 t\r\n"
        "q1 Q0 d3 4 inf t\r\n"
        "q1 Q0 d4 5 -1 t\r\n"
    )
    run = read(write(tmp_path / name, content))
    assert run.name == "run.txt"
    assert run.rankings == {"q2": ["d1"], "q1": ["d3", "d2", "d10", "d1", "d4"]}
    assert run.scores["q1"] == [math.inf, 1.0, 1.00000000001, 1.0, -1.0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("q1\td2\t2\nq1\td1\t1\nq1\td3\t10\n", ["d1", "d2", "d3"]),
        ("q1 d2 2\nq1 d1 1\nq1 d3 10\n", ["d1", "d2", "d3"]),
        ("query-id\tcorpus-id\trank\nq1\td2\t2\nq1\td1\t1\nq1\td3\t10\n", ["d1", "d2", "d3"]),
        ("query-id\tcorpus-id\tscore\nq1\td2\t2\nq1\td1\t1\nq1\td3\t10\n", ["d3", "d2", "d1"]),
        ("qid\tpid\tBM25 Score\nq1\td2\t2\nq1\td1\t-1\nq1\td3\t10\n", ["d3", "d2", "d1"]),
        ("q1\tmy 2nd file\t2\nq1\tmy file\t1\n", ["my file", "my 2nd file"]),
    ],
)
def test_three_columns_go_by_rank_or_by_the_score_of_their_heading(
    tmp_path: Path, content: str, expected: list[str]
) -> None:
    assert read(write(tmp_path / "run.tsv", content)).rankings == {"q1": expected}


@pytest.mark.parametrize(
    ("bad", "what", "told"),
    [
        ("q1 Q0 d2 1 high t", "a malformed line", "'high' is not a number"),
        ("q1 Q0 d2 1 nan t", "a malformed line", "'nan' is not a number"),
        ("q1\td2\tNaN", "a malformed line", "'NaN' is not a number"),
        ("q1 d2", "a malformed line", "2 columns, not 6 (TREC) or 3 (MS MARCO): q1 d2"),
        ("q1 0 d2 1", "a malformed line", "4 columns, not 6"),
        ("q1 Q0 my file 1 2.5 t", "a malformed line", "7 columns, not 6"),
        ("q1 Q0 d1 1 9 t", "a duplicate id", "document 'd1' of query 'q1' is there before"),
    ],
)
def test_a_wrong_line_is_a_problem_and_the_others_are_read(
    tmp_path: Path, bad: str, what: str, told: str
) -> None:
    problems = Problems()
    path = write(tmp_path / "run", f"q1 Q0 d1 1 2 t\n{bad}\nq1 Q0 d3 2 1 t\n")
    run = read_run(path, problems)
    assert (run.rankings, run.scores) == ({"q1": ["d1", "d3"]}, {"q1": [2.0, 1.0]})
    assert counts(problems) == {what: 1}
    assert examples(problems)[0].startswith(f"{path}:2: {told}")


def test_a_first_line_with_no_number_where_a_rank_should_be_is_a_problem(tmp_path: Path) -> None:
    problems = Problems()
    read_run(write(tmp_path / "run", "q1\td1\tnan\nq1\td2\t2\n"), problems)
    assert counts(problems) == {"a malformed line": 1}


@pytest.mark.parametrize("content", ["", "\n\n", "a\tb\trank\n", "q1 Q0 d1\n"])
def test_a_file_without_a_ranking_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match="holds no ranking"):
        read_run(write(tmp_path / "run", content), Problems(lenient=True))


def test_the_top_of_a_run_cuts_rankings_and_scores() -> None:
    run = Run("x", {"q1": ["a", "b", "c"], "q2": ["d"]}, {"q1": [3.0, 2.0, 1.0]})
    assert run.top(2) == Run("x", {"q1": ["a", "b"], "q2": ["d"]}, {"q1": [3.0, 2.0]})


def test_mistakes_that_nobody_collects_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.trec"
    path.write_text("q1 Q0 d1 1 2.0 x\nq1 Q0 d1 2 1.0 x\n")
    with pytest.raises(DataError, match=r"a\.trec:2: document 'd1'"):
        read_run(path)
    path.write_text("q1 Q0 d1 1 2.0 x\n")
    assert read_run(path).rankings == {"q1": ["d1"]}
