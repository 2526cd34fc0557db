"""``rag-rerankers compare``: how two rankings differ, without judgments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from rag_rerankers.cli.options import Device, Dtype
from rag_rerankers.cli.screen import (
    failing_softly,
    no_loading_bar,
    print_json,
    say,
    show_progress,
    stderr,
    stdout,
    visible,
)
from rag_rerankers.options import ModelOptions

__all__ = ["compare"]


def compare(
    data: Annotated[
        str,
        typer.Option(help="As for eval; judgments are not needed."),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(help="One: compared with the first stage. Two: with each other."),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="Run files instead of models; also one of each."),
    ] = None,
    first_stage: Annotated[str, typer.Option(help="bm25, dense, given or a run file.")] = "bm25",
    top_k: Annotated[int, typer.Option(min=1, help="Candidates per query.")] = 100,
    k: Annotated[int, typer.Option("-k", min=1, help="How far down to look.")] = 10,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the disagreements for judging by hand: .csv or .jsonl."),
    ] = None,
    per_query: Annotated[int, typer.Option(min=1, help="Passages of a query to export.")] = 5,
    queries: Annotated[
        int | None, typer.Option(min=1, help="Only a random sample of so many, always the same.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Count mistakes in the data and go on.")
    ] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Show how two rankings of your own questions differ, and what to judge by hand."""
    with failing_softly():
        from rag_rerankers.evaluation import compare as compare_runs
        from rag_rerankers.evaluation import export_judgments, load_collection
        from rag_rerankers.evaluation.evaluate import rerank
        from rag_rerankers.evaluation.first_stage import first_stage as find_candidates
        from rag_rerankers.evaluation.report.json_file import comparison_as_json
        from rag_rerankers.evaluation.runs import Run
        from rag_rerankers.evaluation.systems import candidates

        if export is not None and export.suffix not in {".csv", ".jsonl"}:
            raise ValueError(f"--export takes a .csv or a .jsonl, not {export.name!r}")
        chosen = candidates(model or [], ModelOptions(device=device, dtype=dtype))
        files = [str(path) for path in run or []]
        if not 1 <= len(chosen) + len(files) <= 2:
            raise ValueError(
                "give one --model or --run, which is compared with the first stage, or two, which "
                f"are compared with each other; not {len(chosen) + len(files)}"
            )
        with stderr.status(f"reading {data}"):
            collection = load_collection(data, judged=False, lenient=lenient)
        if queries is not None:
            collection = collection.sample(queries)
        first = None
        if chosen or len(files) == 1:
            first = find_candidates(
                first_stage, collection, top_k, lenient=lenient, progress=show_progress
            )[0]
        found = [find_candidates(path, collection, top_k, lenient=lenient)[0] for path in files]
        if first is not None and len(files) + len(chosen) == 1:
            found.append(first)
        for one in chosen:
            no_loading_bar()
            assert first is not None
            ranked, _ = rerank(one.load(), collection, first, show_progress)
            found.append(Run(one.name, ranked.rankings, ranked.scores))
        comparison = compare_runs(*found, k=k)
        if export is not None:
            n = export_judgments(export, comparison, collection, per_query=per_query)
            say(
                f"{n} passages to judge: fill in 'relevance' (0 no, 1 or more yes) in {export}, "
                f"then: rag-rerankers eval --data {data} --qrels {export} ..."
            )
        if as_json:
            print_json(comparison_as_json(comparison))
            return
        stdout.print(
            Text(
                f"{comparison.first} and {comparison.second}, {len(comparison.queries):,} "
                f"queries, first {comparison.k}:\n"
                f"  in common            {comparison.overlap:.0%}\n"
                f"  same first passage   {comparison.same_first:.0%}\n"
                f"  Kendall's tau        {comparison.tau:+.3f} (over what both rank)\n"
                f"  mean movement        {comparison.movement:.1f} ranks\n"
            )
        )
        stdout.print(Text("least in common:", style="bold"))
        for query in comparison.most_different(5):
            _line(f"  {query.overlap:4.0%}  {collection.queries[query.query]}")
            for moved in query.disagreements[:2]:
                move = f"{moved.first or '-'} -> {moved.second or '-'}"
                _line(f"        {move:>10}  {collection.documents.get(moved.document, '')}", "dim")


def _line(text: str, style: str = "") -> None:
    """One line, cut to the terminal's width."""
    flat = visible(text).replace("\n", " ")
    stdout.print(Text(flat, style=style), no_wrap=True, overflow="ellipsis")
