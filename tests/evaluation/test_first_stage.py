from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.data_files import write

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation import first_stage as module
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.first_stage import first_stage
from rag_rerankers.evaluation.problems import Problem

BEFORE = Problem("a duplicate id", "keeps the first", 1, ("corpus.jsonl:2: d1",))
COLLECTION = Collection(
    "zoo",
    {"d1": "the panda sleeps", "d2": "the bear eats", "d3": "rust compiles"},
    {"q1": "panda", "q2": "bear"},
    qrels={"q1": {"d1": 1}, "q2": {"d2": 1}},
    given={"q1": ["d3", "d1", "d2"], "q9": ["d1"]},
    problems=(BEFORE,),
)
RUN = "q1 Q0 d3 1 3 t\nq1 Q0 d1 2 2 t\nq1 Q0 d2 3 1 t\nq2 Q0 d2 1 1 t\nq9 Q0 d9 1 1 t\n"


class Letters:
    """The share of some letters as vectors."""

    def __init__(self, letters: str = "pr") -> None:
        self._letters = letters

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return [[text.count(letter) + 0.01 for letter in self._letters] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_bm25_ranks_what_shares_a_term() -> None:
    run, collection = first_stage("bm25", COLLECTION, 10)
    assert (run.name, run.rankings) == ("bm25", {"q1": ["d1"], "q2": ["d2"]})
    assert collection is COLLECTION


# The question has one p and neither r nor t. Of p and r, d1 has 2 and 0, d2 0 and 1, d3 1 and 1;
# of r and t, d1 has 0 and 1, d2 1 and 2, d3 1 and 1.
@pytest.mark.parametrize(
    ("embedding", "arguments", "expected"),
    [
        (Letters(), None, ["d1", "d3"]),
        (f"{__name__}:Letters", None, ["d1", "d3"]),
        (f"{__name__}:Letters", json.dumps({"letters": "rt"}), ["d3", "d2"]),
    ],
)
def test_dense_takes_an_embedding_or_its_name(
    embedding: Any, arguments: str | None, expected: list[str]
) -> None:
    run, collection = first_stage(
        "dense", COLLECTION, 2, embedding=embedding, embedding_arguments=arguments
    )
    assert run.name == "dense"
    assert run.rankings["q1"] == expected
    assert collection is COLLECTION


def test_dense_uses_the_packaged_model_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def load(name: str, arguments: str | None) -> Letters:
        asked.append((name, arguments))
        return Letters()

    monkeypatch.setattr(module, "load_embedding", load)
    first_stage("dense", COLLECTION, 1)
    assert asked == [("minilm", None)]


def test_given_candidates_keep_their_order() -> None:
    run, collection = first_stage("given", COLLECTION, 2)
    assert (run.name, run.rankings) == ("given", {"q1": ["d3", "d1"], "q2": []})
    assert collection is COLLECTION


def test_data_without_candidates_has_none_to_give() -> None:
    with pytest.raises(DataError, match="alone brings no candidates of its own"):
        first_stage("given", Collection("alone", {"d": "x"}, {"q": "x"}), 2)


@pytest.mark.parametrize("name", ["run.txt", "run.txt.gz"])
@pytest.mark.parametrize("as_path", [True, False])
def test_a_run_file_ranks_the_queries_of_the_collection(
    tmp_path: Path, name: str, as_path: bool
) -> None:
    path = write(tmp_path / name, RUN)
    run, collection = first_stage(path if as_path else str(path), COLLECTION, 2)
    assert run.name == "run.txt"
    assert run.rankings == {"q1": ["d3", "d1"], "q2": ["d2"]}
    assert run.scores == {"q1": [3.0, 2.0], "q2": [1.0]}
    assert collection == COLLECTION


def test_a_run_of_ms_marco_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "run.tsv", "q1\td2\t2\nq1\td1\t1\nq2\td3\t1\n")
    run, _ = first_stage(path, COLLECTION, 10)
    assert run.rankings == {"q1": ["d1", "d2"], "q2": ["d3"]}


@pytest.mark.parametrize(
    ("content", "what", "count", "told"),
    [
        (RUN.replace("d1", "d8"), "a ranked document that is not in the corpus", 1, "'d8'"),
        ("q1 Q0 d1 1 1 t\n", "a query without candidates", 1, "'q2'"),
        (RUN + "q1 d4\n", "a malformed line", 1, "2 columns, not 6 (TREC) or 3 (MS MARCO): q1 d4"),
        (RUN + "q1 Q0 d4 4 nan t\n", "a malformed line", 1, "'nan'"),
        (RUN + "q1 Q0 d3 4 0 t\n" * 2, "a duplicate id", 2, "'d3'"),
    ],
)
def test_mistakes_of_a_run_are_refused_or_counted(
    tmp_path: Path, content: str, what: str, count: int, told: str
) -> None:
    path = write(tmp_path / "run.txt", content)
    with pytest.raises(DataError) as caught:
        first_stage(path, COLLECTION, 10)
    assert f"{what} ({count}; --lenient" in str(caught.value)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
    run, collection = first_stage(path, COLLECTION, 10, lenient=True)
    before, problem = collection.problems
    assert before == BEFORE
    assert (problem.what, problem.count) == (what, count)
    assert list(run.rankings) == ["q1", "q2"]


def test_unknown_documents_keep_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "run.txt", RUN.replace("d1", "d8"))
    run, _ = first_stage(path, COLLECTION, 10, lenient=True)
    assert run.rankings["q1"] == ["d3", "d8", "d2"]


def test_unknown_documents_behind_the_candidates_do_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "run.txt", RUN + "q1 Q0 d8 4 0.5 t\n")
    _, collection = first_stage(path, COLLECTION, 3)
    assert collection.problems == (BEFORE,)


def test_a_run_of_other_queries_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run.txt", "q9 Q0 d1 1 1 t\n")
    with pytest.raises(DataError, match=r"run\.txt ranks none of the queries of zoo.*'q9'.*'q1'"):
        first_stage(path, COLLECTION, 10, lenient=True)


@pytest.mark.parametrize("name", ["bm52", "nowhere/run.txt", Path("bm25"), "."])
def test_an_unknown_stage_is_refused(name: str | Path) -> None:
    with pytest.raises(DataError, match=f"no first stage '{name}'"):
        first_stage(name, COLLECTION, 10)
