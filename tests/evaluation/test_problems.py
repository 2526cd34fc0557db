from __future__ import annotations

from pathlib import Path

import pytest

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.problems import Problem, Problems

FILE = Path("corpus.jsonl")


def collected(*, lenient: bool) -> Problems:
    problems = Problems(lenient=lenient)
    for line in (3, 5, 8, 13, 21):
        problems.add("a bad line", "skips it", FILE, line, f"value {line}")
    problems.add("a lost query", "counts it as 0", Path("qrels.tsv"), None, "query 'q9'")
    return problems


def test_each_kind_is_counted_with_its_first_three_examples_in_the_order_met() -> None:
    assert list(collected(lenient=True)) == [
        Problem(
            "a bad line",
            "skips it",
            5,
            ("corpus.jsonl:3: value 3", "corpus.jsonl:5: value 5", "corpus.jsonl:8: value 8"),
        ),
        Problem("a lost query", "counts it as 0", 1, ("qrels.tsv: query 'q9'",)),
    ]


def test_one_kind_is_counted_over_several_files() -> None:
    problems = Problems()
    problems.add("a bad line", "skips it", Path("a"), 1, "x")
    problems.add("a bad line", "skips it", Path("b"), 2, "y")
    (problem,) = problems
    assert (problem.count, problem.examples) == (2, ("a:1: x", "b:2: y"))


def test_the_same_mistake_with_another_remedy_is_another_kind() -> None:
    problems = Problems()
    problems.add("no passage", "skips it", FILE, 1, "x")
    problems.add("no passage", "counts it as 0", FILE, 2, "y")
    assert [problem.remedy for problem in problems] == ["skips it", "counts it as 0"]


def test_mistakes_refuse_the_data_and_all_kinds_are_told_at_once() -> None:
    with pytest.raises(DataError) as caught:
        collected(lenient=False).check("my data")
    assert str(caught.value) == (
        "my data has mistakes:\n"
        "  a bad line (5; --lenient skips it):\n"
        "    corpus.jsonl:3: value 3\n"
        "    corpus.jsonl:5: value 5\n"
        "    corpus.jsonl:8: value 8\n"
        "    ... and 2 more\n"
        "  a lost query (1; --lenient counts it as 0):\n"
        "    qrels.tsv: query 'q9'\n"
        "Mend them, or go on with --lenient (lenient=True)"
    )


@pytest.mark.parametrize("problems", [Problems(), Problems(lenient=True), collected(lenient=True)])
def test_no_mistakes_or_lenience_let_the_data_pass(problems: Problems) -> None:
    problems.check("my data")


def test_three_mistakes_are_told_without_a_rest() -> None:
    problem = Problem("a bad line", "skips it", 3, ("f:1: a", "f:2: b", "f:3: c"))
    assert str(problem).splitlines()[-1].strip() == "f:3: c"


def test_two_collections_of_problems_share_nothing() -> None:
    first, second = Problems(), Problems()
    first.add("a bad line", "skips it", FILE, 1, "x")
    assert not list(second)
