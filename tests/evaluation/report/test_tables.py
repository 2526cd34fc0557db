from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from rag_rerankers.evaluation import Collection, Evaluation, Run
from rag_rerankers.evaluation.cost import Cost, Latency, Probe
from rag_rerankers.evaluation.evaluate import assess
from rag_rerankers.evaluation.report.json_file import as_json, write_json
from rag_rerankers.evaluation.report.tables import (
    Table,
    article_table,
    cost_table,
    difference_table,
    group_tables,
    quality_table,
)
from rag_rerankers.evaluation.report.terminal import print_evaluation, print_table

COST = Cost(
    query=Latency(calls=2, texts=100, p50=812.34, p95=1234.5),
    texts_per_second=120.0,
    tokens_per_text=90.0,
    cut=3,
    device="cpu",
    dtype="float32",
    probe=Probe(
        one=Latency(40, 1, 12.3, 20.0),
        eight=Latency(40, 8, 48.6, 61.0),
        load_seconds=1.25,
        rss_before=300_000_000,
        rss_peak=2_345_000_000,
    ),
)


def evaluation(top_k: int = 100, cost: Cost | None = COST, name: str = "model") -> Evaluation:
    """q1 gains (second to first place), q2 loses (first to second)."""
    collection = Collection(
        name="zoo",
        documents={"a": "A bear.", "b": "A language."},
        queries={"q1": "what is a [bold]panda[/bold]?", "q2": "what is rust?\n\ud83d"},
        qrels={"q1": {"a": 1}, "q2": {"b": 1}},
        fields={"q1": {"kind": "animal"}, "q2": {"kind": "thing"}},
    )
    before = Run("bm25", {"q1": ["b", "a"], "q2": ["b", "a"]})
    after = Run(name, {"q1": ["a", "b"], "q2": ["a", "b"]})
    measures = ["MRR@10", f"Recall@{top_k}"]
    return assess(
        collection,
        before,
        [(after, cost)],
        top_k=top_k,
        measures=measures,
        groups={"kind": {"animal": ["q1"], "thing": ["q2"]}},
    )


def test_quality_means_are_those_of_the_systems():
    # Reciprocal ranks: 1/2 and 1 before, 1 and 1/2 after.
    table = quality_table(evaluation())
    assert table.headings == ("", "MRR@10", "Recall@100")
    assert table.rows == (("bm25", "0.7500", "1.0000"), ("model", "0.7500", "1.0000"))
    assert table.title == "zoo: 2 queries, top 100"


def test_differences_count_better_and_worse():
    (row,) = difference_table(evaluation()).rows
    assert row == ("model vs bm25", "+0.0000", "[-0.5000, +0.5000]", "1.000", "1 / 1 / 0")


def test_costs_are_in_milliseconds_and_megabytes():
    table = cost_table(evaluation())
    assert table is not None
    assert dict(table.rows) == {
        "device, precision": "cpu, float32",
        "texts per query": "100",
        "ms per query, p50": "812.3",
        "ms per query, p95": "1,234.5",
        "texts per second": "120.0",
        "tokens per text": "90",
        "tokens per second": "10,800",
        "ms for 1 text, p50 / p95": "12.3 / 20.0",
        "ms for 8 texts, p50 / p95": "48.6 / 61.0",
        "load, seconds": "1.2",
        "peak memory, MB": "2,345",
        "texts cut": "3",
    }
    assert cost_table(evaluation(cost=None)) is None


def test_groups_have_their_own_means():
    (table,) = group_tables(evaluation())
    assert table.title == "MRR@10 by kind"
    assert table.rows == (("animal", "1", "0.5000", "1.0000"), ("thing", "1", "1.0000", "0.5000"))


def test_the_articles_table_keeps_its_published_values_in_their_own_columns():
    table = article_table(evaluation())
    rows = {label: cells for label, *cells in table.rows}
    assert table.headings[1:3] == ("bm25", "model")
    assert rows["MRR@10"] == [".750", ".750", ".362", ".351"]
    assert rows["Recall@100"] == ["1.000", "1.000", ".981", ".987"]
    assert rows["ms for 1 text"] == ["-", "12", "-", "123"]
    assert rows["ms for 8 texts"] == ["-", "49", "48", "-"]
    assert rows["memory"] == ["-", "2.35 GB", "about 2 GB (FP16)", "4 GB or more"]
    assert rows["measured on"][0] == "zoo, top 100"


def test_published_recall_is_not_put_beside_another_depth():
    rows = {label: cells for label, *cells in article_table(evaluation(top_k=50)).rows}
    assert rows["Recall@50"] == ["1.000", "1.000", "-", "-"]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["m", "a-model-of-a-very-long-name/" * 3])
def test_the_terminal_is_never_too_narrow(width, name):
    console = Console(width=width, record=True, file=io.StringIO())
    print_evaluation(console, evaluation(name=name))
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= width
    assert "what is a [bold]panda[/bold]?" in shown
    assert "0.50 -> 1.00" in shown
    assert "1.00 -> 0.50" in shown


def test_a_wide_table_is_turned():
    console = Console(width=40, record=True, file=io.StringIO())
    headings = ("", *(f"measure {i}" for i in range(9)))
    print_table(console, Table("t", headings, (("a", *"123456789"),)))
    shown = console.export_text()
    assert "measure 8" in shown
    assert [line.split()[-1] for line in shown.splitlines() if "measure" in line] == list(
        "123456789"
    )


def test_json_holds_the_figures_and_no_rankings(tmp_path):
    found = evaluation()
    write_json(tmp_path / "f.json", found)
    told = json.loads((tmp_path / "f.json").read_text("utf-8"))
    assert told == json.loads(json.dumps(as_json(found)))
    assert told["data"]["judgments"] == 2
    first, model = told["systems"]
    assert first["values"]["MRR@10"] == {"q1": 0.5, "q2": 1.0}
    assert (first["cost"], model["cost"]["tokens_per_second"]) == (None, 10_800)
    assert [case["query"] for case in told["cases"]["model"]["gained"]] == ["q1"]
    assert [case["query"] for case in told["cases"]["model"]["lost"]] == ["q2"]
    assert told["groups"]["kind"]["animal"]["means"]["model"]["MRR@10"] == 1.0
    assert told["agreement"][0]["overlap"] == 1.0
