"""``rag-rerankers rank``: the texts of a file, best first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from rag_rerankers import RankedDocument, Reranker
from rag_rerankers.cli.options import (
    Device,
    Dtype,
    Keep,
    LongDocuments,
    MaxLength,
    StoreFolder,
    Verbose,
)
from rag_rerankers.cli.screen import (
    failing_softly,
    no_loading_bar,
    print_json,
    stderr,
    stdout,
    visible,
)
from rag_rerankers.cli.texts import read_texts
from rag_rerankers.remote.endpoint import is_url, shown
from rag_rerankers.scorers.cascade import DEFAULT_KEEP, stage_names

__all__ = ["rank"]


def rank(
    query: Annotated[str, typer.Argument(help="The question.")],
    texts: Annotated[
        Path,
        typer.Argument(help="One text a line, or .jsonl objects with 'text'; - is stdin."),
    ] = Path("-"),
    model: Annotated[
        str,
        typer.Option(
            help="Alias, hub id, folder or URL of a server; or a cascade of them, the cheapest "
            "first: 'colbertv2>bge-reranker-v2-m3'. A server's key is read from "
            "RAG_RERANKERS_API_KEY."
        ),
    ] = "minilm-maxsim",
    keep: Keep = None,
    top_n: Annotated[int | None, typer.Option(help="Keep this many; all by default.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Least relevance, 0..1.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_length: MaxLength = None,
    long_documents: LongDocuments = "truncate",
    store: StoreFolder = None,
    on_failure: Annotated[
        str, typer.Option(help="raise, or keep_order: print the texts as they are, and warn.")
    ] = "raise",
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that a server has; 60 by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    verbose: Verbose = False,
) -> None:
    """Rank the texts of a file, best first."""
    with failing_softly(verbose=verbose):
        candidates = list(read_texts(texts))
        names = stage_names(model) or [model]
        with stderr.status(f"loading {' > '.join(map(shown, names))}"):
            if not all(map(is_url, names)):  # which would load transformers
                no_loading_bar()
            reranker = _load(
                model,
                keep,
                device=device,
                dtype=dtype,
                max_length=max_length,
                long_documents=long_documents,
                store=store,
                on_failure=on_failure,
                timeout=timeout,
            )
        with stderr.status(f"reranking {len(candidates)} texts"):
            hits = reranker.rank(query, candidates, top_n=top_n, threshold=threshold)
    _print_hits(hits, as_json=as_json)


def _load(model: str, keep: int | None, **options: Any) -> Reranker:
    stages = stage_names(model)
    if stages:
        return Reranker.cascade(stages, keep=DEFAULT_KEEP if keep is None else keep, **options)
    if keep is not None:
        raise ValueError(
            f"--keep {keep} is for a cascade ('cheap>strong'), not for {shown(model)!r}"
        )
    return Reranker(model, **options)


def _print_hits(hits: list[RankedDocument], *, as_json: bool) -> None:
    if as_json:
        print_json([_as_json(hit) for hit in hits])
        return
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("relevance", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column("text", ratio=1, no_wrap=True, overflow="ellipsis")
    for place, hit in enumerate(hits, 1):
        text = visible(hit.text).replace("\n", " ")
        given = (f"{hit.relevance:.3f}", f"{hit.score:.3f}") if hit.scored else ("-", "-")
        # Square brackets in a passage are not markup.
        table.add_row(str(place), *given, str(hit.index + 1), Text(text))
    stdout.print(table)


def _as_json(hit: RankedDocument) -> dict[str, Any]:
    """JSON has no NaN: what was not scored is null."""
    score, relevance = (hit.score, hit.relevance) if hit.scored else (None, None)
    return {"index": hit.index, "text": hit.text, "score": score, "relevance": relevance}
