"""The matches as tables of HTML: one a line, and as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag_rerankers.explanation.words import escaped, number, one_line, scale, share

if TYPE_CHECKING:
    from rag_rerankers.explanation.records import Explanation, Token, TokenMatch

__all__ = ["heat_map", "match_tables"]

# Rows and columns of a heat map: nobody compares more of them by eye.
_MOST = 64


def match_tables(explanation: Explanation) -> str:
    """Every query token with its match; those that fill up the query are folded away."""
    own = [match for match in explanation.matches if match.token.kind != "expansion"]
    filling = [match for match in explanation.matches if match.token.kind == "expansion"]
    parts = []
    if own:
        parts.append(_match_table(own, scale(explanation)))
    if filling:
        total = number(sum(match.similarity for match in filling))
        parts.append(
            f"<details><summary>{len(filling)} × {_name(filling[0].token)} fill up the query; "
            f"their similarities add up to {total}</summary>\n"
            f"{_match_table(filling, scale(explanation))}\n</details>"
        )
    return "\n".join(parts)


def heat_map(explanation: Explanation) -> str:
    """Similarities of query tokens (rows) and the tokens that were matched (columns)."""
    matches, held = explanation.matches, explanation.contributions
    rows = sorted(range(len(matches)), key=lambda i: -matches[i].similarity)
    columns = sorted({match.index for match in matches}, key=lambda i: -held[i])
    note = "Query tokens beside the tokens of the text that were matched; the best is framed."
    if len(rows) > _MOST:
        note += f" The {_MOST} strongest of {len(rows)} rows."
    if len(columns) > _MOST:
        note += f" The {_MOST} strongest of {len(columns)} columns."
    rows, columns = sorted(rows[:_MOST]), sorted(columns[:_MOST])
    headings = "".join(f'<th scope="col">{_name(explanation.tokens[i])}</th>' for i in columns)
    lines = "\n".join(
        f'<tr class="{matches[row].token.kind}"><th scope="row">{_name(matches[row].token)}</th>'
        f"{_cells(explanation, row, columns)}</tr>"
        for row in rows
    )
    return (
        f'<p class="note">{note}</p>\n'
        '<div class="wide" tabindex="0" role="region" aria-label="Heat map">\n'
        f'<table class="heat">\n<thead><tr><td></td>{headings}</tr></thead>\n'
        f"<tbody>\n{lines}\n</tbody>\n</table>\n</div>"
    )


def _cells(explanation: Explanation, row: int, columns: Sequence[int]) -> str:
    similarities, best = explanation.similarities[row], explanation.matches[row].index
    full = scale(explanation)
    return "".join(
        f'<td class="{"s best" if i == best else "s"}" '
        f'style="--w:{share(similarities[i] / full)}">'
        f"{number(similarities[i], 2)}</td>"
        for i in columns
    )


def _match_table(matches: Sequence[TokenMatch], full: float) -> str:
    rows = "\n".join(
        f'<tr class="{match.token.kind}"><th scope="row">{_name(match.token)}</th>'
        f'<td class="{match.matched.kind}">{_name(match.matched)}</td>'
        f'<td class="bar"><span style="--w:{share(match.similarity / full)}">'
        f"{number(match.similarity)}</span></td></tr>"
        for match in matches
    )
    return (
        '<table class="matches">\n<thead><tr><th scope="col">Query token</th>'
        '<th scope="col">Matched</th><th scope="col" class="bar">Similarity</th></tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>"
    )


def _name(token: Token) -> str:
    return f"<bdi>{escaped(one_line(token.text))}</bdi>"
