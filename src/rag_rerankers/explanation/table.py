"""An explanation on a terminal: a table with bars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from rag_rerankers.explanation.words import number, one_line, scale

if TYPE_CHECKING:
    from rag_rerankers.explanation.records import Explanation, TokenMatch

__all__ = ["render_table"]

_NARROWEST = 20
_BAR = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# What there is only room for on a wider terminal.
_WITH_BARS = 44
_WITH_CONTEXT = 64


class _Row(NamedTuple):
    """One match, or all tokens that fill up a query and matched the same token."""

    match: TokenMatch
    n: int
    similarity: float


def render_table(explanation: Explanation, width: int) -> str:
    """The matches, one a line, at most ``width`` columns wide.

    Raises:
        ValueError: ``width`` is below 20.
    """
    if width < _NARROWEST:
        raise ValueError(f"width must be at least {_NARROWEST} columns, not {width}")
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    context = width >= _WITH_CONTEXT and explanation.passage is not None
    bars = width >= _WITH_BARS
    table = Table(box=None, pad_edge=False, expand=context)
    table.add_column("query", no_wrap=True, overflow="ellipsis")
    table.add_column("matched", no_wrap=True, overflow="ellipsis")
    table.add_column("similarity" if bars else "sim.", justify="right", no_wrap=True)
    if bars:
        table.add_column("", width=_BAR, no_wrap=True)
    if context:
        table.add_column("in the text", ratio=1, no_wrap=True, overflow="ellipsis")
    full = scale(explanation)
    for row in _rows(explanation):
        cells = [
            _named(row),
            one_line(row.match.matched.text, 20),
            number(row.similarity),
        ]
        if bars:
            cells.append(_bar(row.similarity / full))
        if context:
            cells.append(_around(explanation, row.match))
        table.add_row(*map(Text, cells))  # square brackets are not markup
    console = Console(width=width, color_system=None, force_jupyter=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(Text(_headline(explanation)))
        console.print(table)
        if any(match.token.kind == "expansion" for match in explanation.matches):
            console.print(Text("×: tokens that fill up the query, with their mean similarity"))
    return "\n".join(line.rstrip() for line in captured.get().rstrip().split("\n")) + "\n"


def _headline(explanation: Explanation) -> str:
    n = len(explanation.matches)
    how = "mean" if explanation.mean else "sum"
    return (
        f"score {number(explanation.score)}, relevance {number(explanation.relevance)}: the {how} "
        f"over {n} query {'token' if n == 1 else 'tokens'}"
    )


def _rows(explanation: Explanation) -> Iterator[_Row]:
    """The matches; those of filling tokens together, with their mean similarity."""
    filling = [match for match in explanation.matches if match.token.kind == "expansion"]
    for match in explanation.matches:
        if match.token.kind != "expansion":
            yield _Row(match, 1, match.similarity)
    first = {match.index: match for match in reversed(filling)}
    for index, count in Counter(match.index for match in filling).most_common():
        total = sum(match.similarity for match in filling if match.index == index)
        yield _Row(first[index], count, total / count)


def _named(row: _Row) -> str:
    name = one_line(row.match.token.text, 20)
    return f"{row.n} × {name}" if row.match.token.kind == "expansion" else name


def _bar(share: float) -> str:
    eighths = max(0, min(_BAR * 8, round(share * _BAR * 8)))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _around(explanation: Explanation, match: TokenMatch) -> str:
    """The words around what was matched, which stands in brackets."""
    if match.matched.span is None:
        return ""
    start, end = match.matched.span
    before = explanation.text[max(0, start - 16) : start]
    if start > 16 and " " in before:
        before = before.partition(" ")[2]  # not half a word
    behind = explanation.text[end : end + 80]
    return one_line(f"{before}[{explanation.text[start:end]}]{behind}", 80)
