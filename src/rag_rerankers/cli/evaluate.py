"""``rag-rerankers eval``: quality before and after, with its cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rag_rerankers.cli.options import Device, Dtype, LongDocuments, MaxLength, Verbose
from rag_rerankers.cli.screen import (
    failing_softly,
    no_loading_bar,
    print_json,
    say,
    show_progress,
    stderr,
    stdout,
)
from rag_rerankers.options import ModelOptions

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[
        str,
        typer.Option(
            help="A folder in BEIR layout, a JSONL of questions with passages and relevance, or an "
            "id of ir_datasets (msmarco-passage/dev/small)."
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="What to rerank with; may be given again. Options of its own follow commas: "
            "minilm-maxsim,dtype=float32. A cascade: 'colbertv2>bge-reranker-v2-m3,keep=15'. "
            "None: only the first stage is measured."
        ),
    ] = None,
    first_stage: Annotated[
        str,
        typer.Option(
            help="bm25, dense, given (the order of the data itself), or a run file "
            "(TREC, or MS MARCO's query, document, rank)."
        ),
    ] = "bm25",
    top_k: Annotated[int, typer.Option(min=1, help="Candidates per query.")] = 100,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here; - is stdout.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report, one file, here.")] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Write every ranking into this folder, for trec_eval.")
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(help="A measure of ir-measures, the main one first; may be given again."),
    ] = None,
    min_grade: Annotated[
        int, typer.Option(min=1, help="The lowest grade that counts as relevant (nDCG: all).")
    ] = 1,
    qrels: Annotated[
        Path | None, typer.Option(help="Judgments in another file: TREC, BEIR, a judged CSV.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which of several judgment files.")] = "test",
    queries: Annotated[
        int | None, typer.Option(min=1, help="Only a random sample of so many, always the same.")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option(help="A field of the queries to report apart.")
    ] = None,
    embedding: Annotated[
        str,
        typer.Option(help="For dense: minilm, or module:attribute (LangChain or LlamaIndex)."),
    ] = "minilm",
    embedding_args: Annotated[
        str | None, typer.Option(help="Its keyword arguments, as a JSON object.")
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Count mistakes in the data and go on.")
    ] = False,
    cost: Annotated[bool, typer.Option(help="Also time small batches and read the memory.")] = True,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_length: MaxLength = None,
    long_documents: LongDocuments = "truncate",
    verbose: Verbose = False,
) -> None:
    """Measure a first stage, and what reranking it by each model changes and costs."""
    with failing_softly(verbose=verbose):
        from rag_rerankers.evaluation import evaluate as run_evaluation
        from rag_rerankers.evaluation import load_collection, write_run
        from rag_rerankers.evaluation.dense import load_embedding
        from rag_rerankers.evaluation.report.json_file import as_json, write_json
        from rag_rerankers.evaluation.report.terminal import print_evaluation
        from rag_rerankers.extras import needed

        # What would fail after hours of work fails now.
        for path in filter(None, (json_file, html)):
            _check_writable(path)
        for library in (
            "bm25s",
            "ir_measures",
            "scipy",
            *(("matplotlib", "jinja2") if html else ()),
        ):
            needed(library, "rag-rerankers eval")
        options = ModelOptions(
            device=device, dtype=dtype, max_length=max_length, long_documents=long_documents
        )
        with stderr.status(f"reading {data}"):
            collection = load_collection(data, qrels=qrels, split=split, lenient=lenient)
        if queries is not None:
            collection = collection.sample(queries)
        if model:
            no_loading_bar()
        evaluation = run_evaluation(
            collection,
            model or [],
            first_stage=first_stage,
            top_k=top_k,
            measures=measure,
            min_grade=min_grade,
            by=by or (),
            options=options,
            embedding=load_embedding(embedding, embedding_args) if first_stage == "dense" else None,
            cost=cost,
            lenient=lenient,
            progress=show_progress,
        )
        for problem in evaluation.collection.problems:
            say(f"went on in spite of {problem}")
        if runs is not None:
            runs.mkdir(parents=True, exist_ok=True)
            for system in evaluation.systems:
                write_run(runs / f"{_file_name(system.name)}.trec", system.run)
            say(f"runs: {runs}")
        if html is not None:
            from rag_rerankers.evaluation.report.page import write_page

            write_page(html, evaluation)
            say(f"report: {html}")
        if json_file is not None and str(json_file) == "-":
            print_json(as_json(evaluation))
            return
        if json_file is not None:
            write_json(json_file, evaluation)
            say(f"figures: {json_file}")
        print_evaluation(stdout, evaluation)


def _check_writable(path: Path) -> None:
    if str(path) == "-":
        return
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file in it")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {path.absolute().parent} to write {path.name} into")


def _file_name(system: str) -> str:
    return "".join(c if c.isalnum() or c in "-_.=," else "-" for c in system)
