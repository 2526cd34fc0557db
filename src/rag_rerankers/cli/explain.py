"""``rag-rerankers explain``: which token of a text each token of the question matched."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from rag_rerankers import Explanation, Reranker
from rag_rerankers.cli.options import Device, Dtype, LongDocuments, MaxLength, Verbose
from rag_rerankers.cli.screen import (
    failing_softly,
    no_loading_bar,
    print_json,
    say,
    stderr,
    stdout,
)
from rag_rerankers.scorers.cascade import stage_names

__all__ = ["explain"]


def explain(
    query: Annotated[str, typer.Argument(help="The question.")],
    text: Annotated[str, typer.Argument(help="The text; - reads it from stdin.")],
    model: Annotated[
        str, typer.Option(help="Alias, hub id or folder of a late-interaction model.")
    ] = "minilm-maxsim",
    html: Annotated[
        Path | None, typer.Option(help="Write a page with a heat map, one file, here.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_length: MaxLength = None,
    long_documents: LongDocuments = "truncate",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    verbose: Verbose = False,
) -> None:
    """Show which token of a text each token of the question matched, and how strongly."""
    with failing_softly(verbose=verbose):
        if stage_names(model):
            raise ValueError(f"{model!r} is a cascade: explain the text with one of its models")
        shown = sys.stdin.read().rstrip("\n") if text == "-" else text
        with stderr.status(f"loading {model}"):
            no_loading_bar()
            reranker = Reranker(
                model,
                device=device,
                dtype=dtype,
                max_length=max_length,
                long_documents=long_documents,
            )
        explanation = reranker.explain(query, shown)
        if html is not None:
            html.write_text(explanation.to_html(), encoding="utf-8")
            say(f"page: {html}")
    if as_json:
        print_json(_as_json(explanation))
    else:
        stdout.print(Text(explanation.to_text(max(20, stdout.width))), end="")


def _as_json(explanation: Explanation) -> dict[str, Any]:
    """JSON has no infinity: what cannot be matched is null."""
    similarities = [
        [None if math.isinf(value) else value for value in row] for row in explanation.similarities
    ]
    return asdict(explanation) | {"similarities": similarities}
