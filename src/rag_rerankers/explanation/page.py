"""An explanation as one HTML page that opens from disk, without network or scripts."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from rag_rerankers.explanation.grids import heat_map, match_tables
from rag_rerankers.explanation.marked import marked_query, marked_text
from rag_rerankers.explanation.words import escaped, number, one_line

if TYPE_CHECKING:
    from rag_rerankers.explanation.records import Explanation

__all__ = ["render_article", "render_page"]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; background: #fff; }} body {{ margin: 0; }}
@media (prefers-color-scheme: dark) {{ :root {{ background: #12181f; }} }}
</style>
</head>
<body>
<main>
{article}
</main>
</body>
</html>
"""


def render_page(explanation: Explanation) -> str:
    """The whole page."""
    title = escaped(f"{one_line(explanation.query, 60)}: token by token")
    return _PAGE.format(title=title, article=render_article(explanation, level=1))


def render_article(explanation: Explanation, *, level: int = 2) -> str:
    """What stands on the page, with a style that holds for nothing else, for another page.

    Args:
        explanation: What to show.
        level: Of its heading.
    """
    sections = {
        "Query": marked_query(explanation),
        "Text": marked_text(explanation),
        "Matches": match_tables(explanation),
        "Heat map": heat_map(explanation),
    }
    parts = [
        f'<article class="rr" lang="en" dir="ltr">\n<style>\n{_style()}</style>',
        _header(explanation, level),
        *(f"<h{level + 1}>{title}</h{level + 1}>\n{body}" for title, body in sections.items()),
        "</article>",
    ]
    return "\n".join(parts)


@cache
def _style() -> str:
    return files(__package__).joinpath("page.css").read_text(encoding="utf-8")


def _header(explanation: Explanation, level: int) -> str:
    n = len(explanation.matches)
    how = "mean" if explanation.mean else "sum"
    return (
        f'<h{level} class="title">Score {number(explanation.score)}, token by token</h{level}>\n'
        f'<p class="note">Every query token is compared with every token of the text, and the '
        f"best similarity counts: the score is the {how} over {n} query "
        f"{'token' if n == 1 else 'tokens'}. Relevance {number(explanation.relevance)} of 1.</p>"
    )
