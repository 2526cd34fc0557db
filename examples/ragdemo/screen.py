"""What the demo prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_core.documents import Document
from rich.console import Console
from rich.table import Table

from ragdemo.record import MEASURES, Record, mean

__all__ = ["print_answer", "print_means", "print_movement"]


def print_movement(
    console: Console,
    before: Sequence[Document],
    after: Sequence[Document],
    grades: Mapping[str, int],
    shown: int,
) -> None:
    """Print the candidates of one question, before and after."""
    old = {doc.metadata["passage"]: rank for rank, doc in enumerate(before, 1)}
    new = {doc.metadata["passage"]: rank for rank, doc in enumerate(after, 1)}
    table = _table(f"Before: Chroma's first {shown} of {len(before)}", "cosine", bool(grades))
    for rank, doc in enumerate(before[:shown], 1):
        to = new.get(doc.metadata["passage"])
        moved = f"→ {to}" if to else "dropped"
        _row(table, rank, moved, doc, doc.metadata["similarity"], grades)
    console.print(table)
    table = _table("After reranking", "relevance", bool(grades))
    for rank, doc in enumerate(after[:shown], 1):
        was = old[doc.metadata["passage"]]
        moved = "=" if was == rank else (f"▲ {was - rank}" if was > rank else f"▼ {rank - was}")
        colour = "blue" if was > rank else ("yellow" if was < rank else "dim")
        _row(table, rank, f"[{colour}]{moved}[/]", doc, doc.metadata["relevance_score"], grades)
    console.print(table)


def _table(title: str, score: str, judged: bool) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.expand = True
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("moved", justify="right", no_wrap=True)
    table.add_column(score, justify="right", no_wrap=True)
    if judged:
        table.add_column("grade", justify="center", no_wrap=True)
    table.add_column("passage", ratio=1, no_wrap=True, overflow="ellipsis")
    return table


def _row(
    table: Table, rank: int, moved: str, doc: Document, score: float, grades: Mapping[str, int]
) -> None:
    passage = str(doc.metadata["passage"])
    grade = [str(grades[passage]) if passage in grades else "·"] if grades else []
    title = str(doc.metadata["title"]).rpartition(" > ")[2]
    table.add_row(str(rank), moved, f"{score:.3f}", *grade, f"{title}  [dim]{passage}[/]")


def print_answer(console: Console, question: str, answer: str, sources: Sequence[Document]) -> None:
    """Print the LLM's answer and the passages that it was given."""
    console.print(f"\n[bold]{question}[/]", highlight=False)
    console.print(answer.strip(), highlight=False, markup=False)
    for n, doc in enumerate(sources, 1):
        line = f"  \\[{n}] {doc.metadata['title']} — {doc.metadata['source']}"
        console.print(line, style="dim", highlight=False, no_wrap=True, overflow="ellipsis")


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
    changes = [r.measures_after["nDCG@10"] - r.measures_before["nDCG@10"] for r in records]
    better, worse = sum(c > 1e-9 for c in changes), sum(c < -1e-9 for c in changes)
    seconds = sorted(record.seconds["rerank"] for record in records)
    console.print(
        f"nDCG@10 rose for {better} questions, fell for {worse}, stayed for "
        f"{len(records) - better - worse}. Reranking took {1000 * seconds[len(seconds) // 2]:.0f} "
        "ms in the median.",
        highlight=False,
    )
