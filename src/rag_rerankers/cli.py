"""The command ``rag-rerankers``: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rag_rerankers import ALIASES, RankedDocument, Reranker, RerankError, __version__

__all__ = ["app"]

app = typer.Typer(
    name="rag-rerankers",
    help="Rerank texts by relevance to a question.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_stdout = Console(highlight=False)
_stderr = Console(stderr=True, highlight=False)


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        _stdout.print(__version__)
        raise typer.Exit


@app.command()
def rank(
    query: Annotated[str, typer.Argument(help="The question.")],
    texts: Annotated[
        Path,
        typer.Argument(help="One text a line, or .jsonl objects with 'text'; - is stdin."),
    ] = Path("-"),
    model: Annotated[str, typer.Option(help="Alias, hub id or folder.")] = "minilm-maxsim",
    top_n: Annotated[int | None, typer.Option(help="Keep this many; all by default.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Least relevance, 0..1.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    max_length: Annotated[int | None, typer.Option(help="Tokens that the model reads.")] = None,
    long_documents: Annotated[str, typer.Option(help="truncate or max_passage.")] = "truncate",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what runs where.")] = False,
) -> None:
    """Rank the texts of a file, best first."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    warnings.showwarning = _show_warning
    try:
        candidates = list(_read(texts))
        with _stderr.status(f"loading {model}"):
            _no_loading_bar()
            reranker = Reranker(
                model,
                device=device,
                dtype=dtype,
                max_length=max_length,
                long_documents=long_documents,
            )
        with _stderr.status(f"reranking {len(candidates)} texts"):
            hits = reranker.rank(query, candidates, top_n=top_n, threshold=threshold)
    except (RerankError, ValueError, TypeError, OSError) as error:
        _stderr.print(Text.assemble((f"{type(error).__name__}: ", "red"), str(error)))
        raise typer.Exit(1) from None
    _print_hits(hits, as_json=as_json)


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """List the models that have a short name."""
    if as_json:
        _print_json([asdict(known) for known in ALIASES.values()])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("alias", "kind", "tokens", "MB", "licence", "languages"):
        table.add_column(
            heading, justify="right" if heading in {"tokens", "MB"} else "left", no_wrap=True
        )
    for known in ALIASES.values():
        row = (known.alias, known.kind, str(known.max_length), str(known.size), known.licence)
        table.add_row(*row, known.languages)
    _stdout.print(table)


def _read(path: Path) -> Iterator[str]:
    if str(path) == "-":
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix != ".jsonl":
        yield from lines
        return
    for number, line in enumerate(lines, 1):
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number} is not an object with 'text': {line:.80}") from error
        if not isinstance(text, str):
            raise ValueError(f"{path}:{number}: 'text' is not a string: {line:.80}")  # noqa: TRY004
        yield text


def _print_hits(hits: list[RankedDocument], *, as_json: bool) -> None:
    if as_json:
        _print_json([asdict(hit) for hit in hits])
        return
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("relevance", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column("text", ratio=1, no_wrap=True, overflow="ellipsis")
    for place, hit in enumerate(hits, 1):
        shown = hit.text.encode("utf-8", "replace").decode().replace("\n", " ")
        numbers = (str(place), f"{hit.relevance:.3f}", f"{hit.score:.3f}", str(hit.index + 1))
        table.add_row(*numbers, Text(shown))  # square brackets in a passage are not markup
    _stdout.print(table)


def _print_json(value: object) -> None:
    # Escaped, so that a lone surrogate cannot break the terminal's or the pipe's encoding.
    sys.stdout.write(json.dumps(value, ensure_ascii=True, indent=2) + "\n")


def _no_loading_bar() -> None:
    """The status line says it already; downloads keep their bars."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _stderr.print(f"warning: {message}", markup=False, style="yellow")
