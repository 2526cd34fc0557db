"""``rag-rerankers distribute``: whole collections in Parquet, on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from rag_rerankers import ModelOptions
from rag_rerankers.cli.options import Device, Dtype, LongDocuments, MaxLength, Verbose
from rag_rerankers.cli.screen import failing_softly, print_json, progress_bar, say, stdout
from rag_rerankers.distributed import Report, encode_parquet, score_parquet

__all__ = ["distribute"]

distribute = typer.Typer(
    help="Score or encode whole collections on a Ray cluster. A run that was killed goes on where "
    "it was, when it is given again.",
    no_args_is_help=True,
)

Input = Annotated[list[str], typer.Argument(help="Parquet files, folders or URIs.")]
Output = Annotated[str, typer.Option("--output", "-o", help="Folder or URI for the result.")]
Model = Annotated[str, typer.Option(help="Alias, hub id or folder.")]
TextName = Annotated[str, typer.Option("--text-column", help="Column of texts.")]
Workers = Annotated[int, typer.Option(help="How many actors.")]
MaxWorkers = Annotated[int | None, typer.Option(help="Let Ray start up to so many.")]
Cpus = Annotated[float, typer.Option(help="Cores of each worker.")]
Gpus = Annotated[float, typer.Option(help="GPUs of each worker; 0.5 shares one.")]
PartRows = Annotated[int, typer.Option(help="Rows of a file: what a dead worker loses at most.")]
BatchSize = Annotated[int, typer.Option(help="Rows that are computed together.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Do parts again in which a text failed.")
]
Address = Annotated[
    str | None, typer.Option(help="The cluster's; else RAY_ADDRESS, else one of this machine.")
]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]


@distribute.command()
def score(
    input: Input,  # noqa: A002 -- what the help calls it
    output: Output,
    model: Model = "minilm-maxsim",
    query_column: Annotated[str, typer.Option(help="Column of queries.")] = "query",
    text_column: TextName = "text",
    workers: Workers = 2,
    max_workers: MaxWorkers = None,
    cpus_per_worker: Cpus = 1,
    gpus_per_worker: Gpus = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_length: MaxLength = None,
    long_documents: LongDocuments = "truncate",
    part_rows: PartRows = 1000,
    batch_size: BatchSize = 256,
    retry_failed: RetryFailed = False,
    address: Address = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Score pairs: rows with a query and a text, or with a query and a list of texts."""

    def work(tell: Callable[[int], object]) -> Report:
        return score_parquet(
            input,
            output,
            model=model,
            options=_options(device, dtype, max_length, long_documents),
            query_column=query_column,
            text_column=text_column,
            workers=_count(workers, max_workers),
            cpus_per_worker=cpus_per_worker,
            gpus_per_worker=gpus_per_worker,
            part_rows=part_rows,
            batch_size=batch_size,
            retry_failed=retry_failed,
            address=address,
            tell=tell,
        )

    _run("scoring", work, as_json=as_json, verbose=verbose)


@distribute.command()
def encode(
    input: Input,  # noqa: A002 -- what the help calls it
    output: Output,
    model: Model = "minilm-maxsim",
    text_column: TextName = "text",
    vectors_dtype: Annotated[str, typer.Option(help="float16 or float32.")] = "float16",
    workers: Workers = 2,
    max_workers: MaxWorkers = None,
    cpus_per_worker: Cpus = 1,
    gpus_per_worker: Gpus = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_length: MaxLength = None,
    long_documents: LongDocuments = "truncate",
    part_rows: PartRows = 1000,
    batch_size: BatchSize = 256,
    retry_failed: RetryFailed = False,
    address: Address = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Encode texts into the token vectors of a late-interaction model."""

    def work(tell: Callable[[int], object]) -> Report:
        return encode_parquet(
            input,
            output,
            model=model,
            options=_options(device, dtype, max_length, long_documents),
            text_column=text_column,
            dtype=vectors_dtype,
            workers=_count(workers, max_workers),
            cpus_per_worker=cpus_per_worker,
            gpus_per_worker=gpus_per_worker,
            part_rows=part_rows,
            batch_size=batch_size,
            retry_failed=retry_failed,
            address=address,
            tell=tell,
        )

    _run("encoding", work, as_json=as_json, verbose=verbose)


def _options(device: str, dtype: str, max_length: int | None, long_documents: str) -> ModelOptions:
    return ModelOptions(
        device=device, dtype=dtype, max_length=max_length, long_documents=long_documents
    )


def _count(workers: int, max_workers: int | None) -> int | tuple[int, int]:
    return workers if max_workers is None else (workers, max_workers)


def _run(
    what: str, work: Callable[[Callable[[int], object]], Report], *, as_json: bool, verbose: bool
) -> None:
    with failing_softly(verbose=verbose), progress_bar() as bar:
        task = bar.add_task(f"{what} rows", total=None)
        report = work(lambda rows: bar.advance(task, rows))
    if as_json:
        print_json(_told(report))
        return
    stdout.print(
        f"{report.rows} rows in {report.output} ({report.parts} parts, {report.present} of them "
        f"were there), {report.tokens} tokens, {report.seconds:.1f} s"
    )
    if report.failed:
        say(f"{report.failed} texts failed: the column of errors says why")
    if report.cut:
        say(f"{report.cut} texts were cut (--long-documents max_passage reads all of them)")


def _told(report: Report) -> dict[str, Any]:
    return {**asdict(report), "done": report.done}
