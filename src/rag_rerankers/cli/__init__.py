"""The command ``rag-rerankers``: results on stdout, everything else on stderr."""

from __future__ import annotations

from typing import Annotated

import typer

from rag_rerankers import __version__
from rag_rerankers.cli.compare import compare
from rag_rerankers.cli.distribute import distribute
from rag_rerankers.cli.evaluate import evaluate
from rag_rerankers.cli.explain import explain
from rag_rerankers.cli.models import models
from rag_rerankers.cli.rank import rank
from rag_rerankers.cli.screen import stdout
from rag_rerankers.cli.serve import serve
from rag_rerankers.cli.store import store

__all__ = ["app"]

app = typer.Typer(
    name="rag-rerankers",
    help="Rerank texts by relevance to a question, and measure what it gains.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(rank)
app.command()(explain)
app.command()(serve)
app.command("eval")(evaluate)
app.command()(compare)
app.command()(models)
app.add_typer(store, name="store")
app.add_typer(distribute, name="distribute")


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        stdout.print(__version__)
        raise typer.Exit
