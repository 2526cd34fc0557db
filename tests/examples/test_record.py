from __future__ import annotations

import json
from math import log2
from pathlib import Path

import pytest

from ragdemo.record import Hit, Record, mean, measure, write_jsonl


def hits(ids: str, score: float = 0.5) -> tuple[Hit, ...]:
    return tuple(Hit(ident, "title", "source", score) for ident in ids)


CASES = [
    # Relevant at ranks 2 and 4; z is judged but was not retrieved.
    (
        "abcd",
        {"b": 2, "d": 1, "z": 2},
        1 / 2,
        (2 / log2(3) + 1 / log2(5)) / (2 + 2 / log2(3) + 1 / log2(4)),
        2 / 5,
    ),
    # The ideal order, and the worst of the same: grade 2 weighs twice as much as grade 1.
    ("xy", {"x": 2, "y": 1}, 1, 1, 2 / 5),
    ("yx", {"x": 2, "y": 1}, 1, (1 + 2 / log2(3)) / (2 + 1 / log2(3)), 2 / 5),
    # Rank 5 counts for P@5, rank 6 does not; rank 10 counts for the others, rank 11 does not.
    ("abcdefghijk", {"e": 1}, 1 / 5, 1 / log2(6), 1 / 5),
    ("abcdefghijk", {"f": 1}, 1 / 6, 1 / log2(7), 0),
    ("abcdefghijk", {"j": 1}, 1 / 10, 1 / log2(11), 0),
    ("abcdefghijk", {"k": 1}, 0, 0, 0),
    # Judged as irrelevant is as good as unjudged.
    ("ab", {"a": 0, "b": 1}, 1 / 2, 1 / log2(3), 1 / 5),
    ("ab", {"a": 0}, 0, 0, 0),
    ("", {"a": 1}, 0, 0, 0),
    ("ab", {}, 0, 0, 0),
    ("", {}, 0, 0, 0),
]


@pytest.mark.parametrize(("ranking", "grades", "mrr", "ndcg", "precision"), CASES)
def test_measures_by_hand(
    ranking: str, grades: dict[str, int], mrr: float, ndcg: float, precision: float
) -> None:
    expected = {"MRR@10": mrr, "nDCG@10": ndcg, "P@5": precision}

    assert measure(hits(ranking), grades) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("ranking", "mrr"), [("ab", 1), ("ba", 1 / 2), ("zya", 1 / 3)])
def test_ties_keep_the_order_of_the_ranking(ranking: str, mrr: float) -> None:
    # trec_eval would sort equal scores by id, backwards.
    assert measure(hits(ranking, score=0.7), {"a": 1})["MRR@10"] == pytest.approx(mrr)


def test_ids_may_be_any_text() -> None:
    ranking = tuple(Hit(ident, "", "", 0.0) for ident in ("my notes.md#1", "ö\t#2", ""))

    assert measure(ranking, {"ö\t#2": 1})["MRR@10"] == pytest.approx(1 / 2)


def test_mean_is_taken_per_measure() -> None:
    one = {"MRR@10": 1.0, "nDCG@10": 0.5, "P@5": 0.2}
    two = {"MRR@10": 0.0, "nDCG@10": 0.25, "P@5": 0.4}

    assert mean([one, two]) == pytest.approx({"MRR@10": 0.5, "nDCG@10": 0.375, "P@5": 0.3})
    assert mean(iter([one])) == one
    assert mean([]) == {}


def record(question: str = "Why?", answer: str | None = None) -> Record:
    before = {"MRR@10": 0.5, "nDCG@10": 0.25, "P@5": 0.2}
    after = {"MRR@10": 1.0, "nDCG@10": 0.75, "P@5": 0.2}
    return Record(
        id="q1",
        question=question,
        kind="paraphrase",
        grades={"b": 2},
        before=hits("ab"),
        after=hits("ba"),
        measures_before=before,
        measures_after=after,
        seconds={"retrieve": 0.25, "rerank": 0.5},
        answer=answer,
    )


def test_gain_and_ranks() -> None:
    assert record().gain == 0.5
    assert record().ranks_before == {"a": 1, "b": 2}


def test_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"

    write_jsonl(path, [record("a\nb\u2028c"), record(answer='"ö" 🐍')])

    lines = path.read_bytes().decode("utf-8").split("\n")
    assert len(lines) == 3
    assert lines[2] == ""
    first, second = map(json.loads, lines[:2])
    assert first == {
        "id": "q1",
        "question": "a\nb\u2028c",
        "kind": "paraphrase",
        "grades": {"b": 2},
        "before": [
            {"passage": "a", "title": "title", "source": "source", "score": 0.5},
            {"passage": "b", "title": "title", "source": "source", "score": 0.5},
        ],
        "after": [
            {"passage": "b", "title": "title", "source": "source", "score": 0.5},
            {"passage": "a", "title": "title", "source": "source", "score": 0.5},
        ],
        "measures_before": {"MRR@10": 0.5, "nDCG@10": 0.25, "P@5": 0.2},
        "measures_after": {"MRR@10": 1.0, "nDCG@10": 0.75, "P@5": 0.2},
        "seconds": {"retrieve": 0.25, "rerank": 0.5},
        "answer": None,
    }
    assert second["answer"] == '"ö" 🐍'
    assert "🐍" in lines[1]  # people read it too


def test_half_a_surrogate_pair_makes_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"

    write_jsonl(path, [record("x\ud800y"), record("\\ud800")])

    read = [json.loads(line)["question"] for line in path.read_text("utf-8").splitlines()]
    assert read == ["x\ud800y", "\\ud800"]
