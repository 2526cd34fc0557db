"""What the demo prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from ragdemo.record import MEASURES, Found, Hit, Record, mean

__all__ = ["print_answer", "print_found", "print_means", "progress_bar"]


def progress_bar(console: Console) -> Progress:
    """A bar with the time that is left, and at its end the time that it took."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )


def print_found(console: Console, found: Found, grades: Mapping[str, int], shown: int) -> None:
    """Print the candidates of one question, before and after."""
    old = {hit.passage: rank for rank, hit in enumerate(found.before, 1)}
    new = {hit.passage: rank for rank, hit in enumerate(found.after, 1)}
    shown = min(shown, len(old))
    table = _table(f"Before: the first {shown} of Chroma's {len(old)}", "cosine", grades)
    for rank, hit in enumerate(found.before[:shown], 1):
        _row(table, rank, f"→ {new[hit.passage]}", hit, grades)
    console.print(table)
    console.print()
    table = _table("After reranking", "relevance", grades)
    for rank, hit in enumerate(found.after[:shown], 1):
        was = old[hit.passage]
        moved = "[dim]=[/]"
        if was != rank:
            moved = f"[blue]▲ {was - rank}[/]" if was > rank else f"[yellow]▼ {rank - was}[/]"
        _row(table, rank, moved, hit, grades)
    console.print(table)
    took = ", ".join(f"{stage} {1000 * took:.0f} ms" for stage, took in found.seconds.items())
    console.print(f"{took} (loading of the models included)", style="dim", highlight=False)


def _table(title: str, score: str, grades: Mapping[str, int]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.expand = True
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("moved", justify="right", no_wrap=True)
    table.add_column(score, justify="right", no_wrap=True)
    if grades:
        table.add_column("grade", justify="center", no_wrap=True)
    table.add_column("passage", ratio=1, no_wrap=True, overflow="ellipsis")
    return table


def _row(table: Table, rank: int, moved: str, hit: Hit, grades: Mapping[str, int]) -> None:
    grade = [str(grades.get(hit.passage, "·"))] if grades else []
    title = escape(hit.title.rpartition(" > ")[2])
    passage = f"{title}  [dim]{escape(hit.passage)}[/]"
    table.add_row(str(rank), moved, f"{hit.score:.3f}", *grade, passage)


def print_answer(console: Console, question: str, answer: str, sources: Sequence[Hit]) -> None:
    """Print the LLM's answer and the passages that it was given."""
    console.print(f"\n[bold]{escape(question)}[/]", highlight=False)
    console.print(answer, highlight=False, markup=False)
    for n, hit in enumerate(sources, 1):
        # The source last: it may be a path, too long for the line.
        line = f"  [{n}] {hit.title.rpartition(' > ')[2]}  {hit.passage}  {hit.source}"
        console.print(
            line, style="dim", highlight=False, markup=False, no_wrap=True, overflow="ellipsis"
        )


def print_means(console: Console, records: Sequence[Record]) -> None:
    """Print the means over all questions and of each kind."""
    table = Table(title="Relevance, before → after", title_justify="left", title_style="bold")
    table.add_column("questions")
    table.add_column("n", justify="right")
    for name in MEASURES:
        table.add_column(name, justify="right")
    kinds = sorted({record.kind for record in records})
    groups = [(kind, [r for r in records if r.kind == kind]) for kind in kinds]
    for kind, members in [*groups, ("all", list(records))]:
        if kind == "all":
            table.add_section()
        before = mean(record.measures_before for record in members)
        after = mean(record.measures_after for record in members)
        cells = [f"{before[name]:.3f} → {after[name]:.3f}" for name in MEASURES]
        table.add_row(kind, str(len(members)), *cells)
    console.print(table)
    better = sum(record.gain > 1e-9 for record in records)
    worse = sum(record.gain < -1e-9 for record in records)
    seconds = median(record.seconds["rerank"] for record in records)
    console.print(
        f"nDCG@10 rose for {better} questions, fell for {worse}, stayed for "
        f"{len(records) - better - worse}.\n"
        f"Median time to rerank: {1000 * seconds:.0f} ms.",
        highlight=False,
    )
