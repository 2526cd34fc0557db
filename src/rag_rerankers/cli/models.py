"""``rag-rerankers models``: the models that have a short name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from rag_rerankers import ALIASES
from rag_rerankers.cli.screen import print_json, stdout

__all__ = ["models"]


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List the models that have a short name."""
    if as_json:
        print_json([asdict(known) for known in ALIASES.values()])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("alias", "kind", "tokens", "MB", "licence", "languages"):
        table.add_column(
            heading, justify="right" if heading in {"tokens", "MB"} else "left", no_wrap=True
        )
    for known in ALIASES.values():
        row = (known.alias, known.kind, str(known.max_length), str(known.size), known.licence)
        table.add_row(*row, known.languages)
    stdout.print(table)
