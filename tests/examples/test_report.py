from __future__ import annotations

from dataclasses import replace
from math import log2
from pathlib import Path

import pytest

from ragdemo.passages import Passage
from ragdemo.record import Hit, Record
from ragdemo.report import evaluation_of, write_report

PASSAGES = [Passage(id_, f"Title {id_}", f"text of {id_}", "source") for id_ in "abc"]


def hits(ids: str) -> tuple[Hit, ...]:
    return tuple(Hit(ident, f"Title {ident}", "source", 0.625) for ident in ids)


def record(ident: str, kind: str, before: str, after: str) -> Record:
    return Record(
        id=ident,
        question=f"What about {ident}?",
        kind=kind,
        grades={"b": 2, "a": 0},
        before=hits(before),
        after=hits(after),
        measures_before={},
        measures_after={},
        seconds={"retrieve": 0.01, "rerank": 0.1 * int(ident[1:])},
    )


RECORDS = [
    record("q1", "paraphrase", "abc", "bac"),  # second to first
    record("q2", "paraphrase", "bac", "acb"),  # first to third
    record("q4", "keyword-trap", "acb", "bca"),  # third to first
]
WORDS = {"model": "some-model", "corpus": "some files"}


def test_the_evaluation_holds_the_records_rankings():
    found = evaluation_of(RECORDS, PASSAGES, **WORDS)
    assert found.first.values["MRR@10"] == pytest.approx({"q1": 1 / 2, "q2": 1, "q4": 1 / 3})
    (model,) = found.models
    assert model.values["nDCG@10"] == pytest.approx({"q1": 1, "q2": 1 / log2(4), "q4": 1})
    assert (found.first.name, model.name) == ("Chroma", "some-model")
    assert found.measures[0] == "nDCG@10"
    assert found.groups == {"kind": {"keyword-trap": ["q4"], "paraphrase": ["q1", "q2"]}}
    assert found.collection.documents["b"] == "text of b"


def test_time_is_that_of_the_reranking():
    cost = evaluation_of(RECORDS, PASSAGES, **WORDS).models[0].cost
    assert cost is not None
    assert (cost.query.p50, cost.query.texts) == (200.0, 3.0)  # of 100, 200 and 400 ms
    assert cost.texts_per_second == pytest.approx(9 / 0.7)


def test_the_page_tells_it_in_words(tmp_path: Path):
    write_report(tmp_path / "report.html", RECORDS, PASSAGES, **WORDS)
    page = " ".join((tmp_path / "report.html").read_text("utf-8").split())
    assert "3 questions on some files" in page
    assert "some-model" in page
    assert "2 queries better" in page
    for shown in ("What about q4?", "text of b", "keyword-trap"):
        assert shown in page


@pytest.mark.parametrize(
    "records",
    [
        [replace(RECORDS[0], before=(), after=())],
        [replace(RECORDS[0], question="<script>alert(1)</script> \ud800")],
    ],
    ids=["no candidates", "hostile"],
)
def test_any_record_makes_a_page(tmp_path: Path, records: list[Record]):
    write_report(tmp_path / "report.html", records, PASSAGES, **WORDS)
    assert "<script>alert" not in (tmp_path / "report.html").read_text("utf-8", "replace")
