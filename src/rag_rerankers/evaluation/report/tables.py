"""The figures as tables of text, for every output alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rag_rerankers.evaluation.cost import Cost, Latency
from rag_rerankers.evaluation.results import Evaluation, System

__all__ = [
    "Table",
    "article_table",
    "cost_table",
    "difference_table",
    "group_tables",
    "quality_table",
]

NONE = "-"


@dataclass(frozen=True)
class Table:
    """Text in rows.

    Attributes:
        title: What it shows.
        headings: One a column; the first column holds names, the others figures.
        rows: Cells, as many as headings.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def quality_table(evaluation: Evaluation) -> Table:
    """Mean of each measure for each system."""
    rows = tuple(
        (system.name, *(f"{system.mean(name):.4f}" for name in evaluation.measures))
        for system in evaluation.systems
    )
    return Table(_title(evaluation), ("", *evaluation.measures), rows)


def difference_table(evaluation: Evaluation, measure: str | None = None) -> Table:
    """Each system against each other in one measure, with interval, test and counts."""
    name = measure or evaluation.measures[0]
    rows = tuple(
        (
            f"{d.system} vs {d.baseline}",
            f"{d.delta:+.4f}",
            f"[{d.low:+.4f}, {d.high:+.4f}]",
            _p(d.p_value),
            f"{d.wins:,} / {d.losses:,} / {d.ties:,}",
        )
        for d in evaluation.differences
        if d.measure == name
    )
    headings = ("", f"change of {name}", "95 % interval", "p", "better / worse / same")
    return Table("Is it chance?", headings, rows)


def cost_table(evaluation: Evaluation) -> Table | None:
    """Latency, throughput, tokens and memory of each model; None if nothing was reranked."""
    columns = [(model.name, model.cost) for model in evaluation.models if model.cost is not None]
    if not columns:
        return None
    lines: list[tuple[str, Callable[[Cost], str]]] = [
        ("device, precision", lambda c: ", ".join(filter(None, (c.device, c.dtype))) or NONE),
        ("texts per query", lambda c: f"{c.query.texts:.0f}"),
        ("ms per query, p50", lambda c: f"{c.query.p50:,.1f}"),
        ("ms per query, p95", lambda c: f"{c.query.p95:,.1f}"),
        ("texts per second", lambda c: f"{c.texts_per_second:,.1f}"),
        ("tokens per text", lambda c: _number(c.tokens_per_text, ",.0f")),
        ("tokens per second", lambda c: _number(c.tokens_per_second, ",.0f")),
        ("ms for 1 text, p50 / p95", lambda c: _latency(c.probe.one)),
        ("ms for 8 texts, p50 / p95", lambda c: _latency(c.probe.eight)),
        ("load, seconds", lambda c: _number(c.probe.load_seconds, ".1f")),
        ("peak memory, MB", lambda c: _number(_megabytes(c.probe.rss_peak), ",.0f")),
        ("peak device memory, MB", lambda c: _number(_megabytes(c.probe.device_peak), ",.0f")),
        ("texts cut", lambda c: f"{c.cut:,}"),
    ]
    rows = [(label, *(cell(cost) for _, cost in columns)) for label, cell in lines]
    told = tuple(row for row in rows if set(row[1:]) != {NONE})
    return Table("What it costs", ("", *(name for name, _ in columns)), told)


def group_tables(evaluation: Evaluation) -> list[Table]:
    """The main measure of each group of queries, one table a field."""
    name = evaluation.measures[0]
    return [
        Table(
            f"{name} by {field}",
            ("", "queries", *(system.name for system in evaluation.systems)),
            tuple(
                (
                    label,
                    f"{len(queries):,}",
                    *(f"{system.mean(name, queries):.4f}" for system in evaluation.systems),
                )
                for label, queries in members.items()
            ),
        )
        for field, members in evaluation.groups.items()
    ]


# The article that this project answers: MS MARCO dev, the top 100 of a first stage.
_PUBLISHED = {
    "MRR@10": (".362", ".351"),
    "Recall@100": (".981", ".987"),
    "ms for 1 text": (NONE, "123"),
    "ms for 8 texts": ("48", NONE),
    "batching": ("yes", "no"),
    "memory": ("about 2 GB (FP16)", "4 GB or more"),
    "measured on": ("MS MARCO dev, top 100", "MS MARCO dev, top 100"),
}


def article_table(evaluation: Evaluation) -> Table:
    """The article's table for these data and models, with its published values beside them.

    The published columns were measured on other data and another machine: what can be compared
    across them is the order of magnitude, what can be compared exactly are the columns of here.
    """
    recall = f"Recall@{evaluation.top_k}"
    cells: dict[str, Callable[[System], str]] = {
        "MRR@10": lambda s: _mean(s, "MRR", "@10"),
        "Recall@100": lambda s: _mean(s, "Recall", f"@{evaluation.top_k}"),
        "ms for 1 text": lambda s: _median(s.cost.probe.one) if s.cost else NONE,
        "ms for 8 texts": lambda s: _median(s.cost.probe.eight) if s.cost else NONE,
        "batching": lambda s: "yes" if s.cost else NONE,
        "memory": _memory,
        "measured on": lambda s: f"{evaluation.collection.name}, top {evaluation.top_k}",
    }
    rows = tuple(
        (
            recall if label == "Recall@100" else label,
            *(cell(system) for system in evaluation.systems),
            *_published(label, recall),
        )
        for label, cell in cells.items()
    )
    names = (system.name for system in evaluation.systems)
    published = ("BGE v2-m3 (article)", "ColBERTv2 (article)")
    return Table("The article's table", ("", *names, *published), rows)


def _published(label: str, recall: str) -> tuple[str, str]:
    if label == "Recall@100" and recall != label:
        return NONE, NONE  # another depth is another measure
    return _PUBLISHED[label]


def _title(evaluation: Evaluation) -> str:
    queries = len(evaluation.collection.queries)
    return f"{evaluation.collection.name}: {queries:,} queries, top {evaluation.top_k}"


def _mean(system: System, name: str, depth: str) -> str:
    for measure in system.values:
        if measure.startswith(name) and measure.endswith(depth):
            return f"{system.mean(measure):.3f}".removeprefix("0")
    return NONE


def _memory(system: System) -> str:
    if system.cost is None:
        return NONE
    probe = system.cost.probe
    peak = probe.rss_peak if probe.device_peak is None else probe.device_peak
    return NONE if peak is None else f"{peak / 1e9:.2f} GB"


def _latency(latency: Latency | None) -> str:
    return NONE if latency is None else f"{latency.p50:,.1f} / {latency.p95:,.1f}"


def _median(latency: Latency | None) -> str:
    return NONE if latency is None else f"{latency.p50:,.0f}"


def _megabytes(size: int | None) -> float | None:
    return None if size is None else size / 1e6


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"
