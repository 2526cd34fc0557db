"""Tables on a terminal, 80 columns wide if need be."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from rag_rerankers.evaluation.report.tables import (
    Table,
    article_table,
    cost_table,
    difference_table,
    group_tables,
    quality_table,
)
from rag_rerankers.evaluation.results import Evaluation, Gain, System

__all__ = ["print_evaluation", "print_table"]

_CASES = 3


def print_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Print every table, and the queries that gained and lost most."""
    tables = [quality_table(evaluation), difference_table(evaluation)]
    costs = cost_table(evaluation)
    if costs is not None:
        tables.append(costs)
    tables.extend(group_tables(evaluation))
    if evaluation.models:
        tables.append(article_table(evaluation))
    for table in tables:
        if table.rows:
            print_table(console, table)
    for model in evaluation.models:
        for line in _cases(evaluation, model):
            console.print(line, no_wrap=True, overflow="ellipsis")


def print_table(console: Console, table: Table) -> None:
    """Print a table; one that is too wide is turned, if it gets narrower by that."""
    turned = _turned(table)
    if _width(table) > console.width and _width(turned) < _width(table):
        table = turned
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
    shown.title = table.title
    for place, heading in enumerate(table.headings):
        shown.add_column(
            Text(heading),
            justify="left" if place == 0 else "right",
            overflow="fold",
        )
    for row in table.rows:
        shown.add_row(*map(Text, row))
    console.print(shown)


def _width(table: Table) -> int:
    columns = zip(table.headings, *table.rows, strict=True)
    return sum(max(map(len, column)) + 2 for column in columns)


def _turned(table: Table) -> Table:
    headings, *rows = zip(table.headings, *table.rows, strict=True)
    return Table(table.title, tuple(headings), tuple(rows))


def _cases(evaluation: Evaluation, model: System) -> Iterator[Text]:
    gains = [gain for gain in evaluation.gains(model) if gain.change]
    for title, chosen in (
        ("gained most", [gain for gain in gains if gain.change > 0][:_CASES]),
        ("lost most", [gain for gain in reversed(gains) if gain.change < 0][:_CASES]),
    ):
        if chosen:
            yield Text(f"{model.name}, {title}:", style="bold")
            for gain in chosen:
                yield _case(evaluation, gain)
    if gains:
        yield Text()


def _case(evaluation: Evaluation, gain: Gain) -> Text:
    question = " ".join(evaluation.collection.queries[gain.query].split())
    shown = question.encode("utf-8", "replace").decode()
    return Text(f"  {gain.before:.2f} -> {gain.after:.2f}  {shown}")
