"""Scores for every pair of a collection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from rag_rerankers.distributed.cluster import Workers
from rag_rerankers.distributed.models import model_of
from rag_rerankers.distributed.pairs import PairColumns, PairTask
from rag_rerankers.distributed.places import place
from rag_rerankers.distributed.report import Report
from rag_rerankers.distributed.run import (
    check_new_columns,
    check_text_column,
    open_input,
    positive,
    run,
)
from rag_rerankers.options import ModelOptions
from rag_rerankers.reranker import DEFAULT_MODEL, Reranker
from rag_rerankers.types import Scorer

__all__ = ["score_parquet"]


def score_parquet(
    input: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],  # noqa: A002 -- what it is
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | Scorer | Reranker = DEFAULT_MODEL,
    options: ModelOptions | None = None,
    query_column: str = "query",
    text_column: str = "text",
    score_column: str = "score",
    relevance_column: str = "relevance",
    error_column: str = "error",
    workers: int | tuple[int, int] = 2,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    batch_size: int = 256,
    part_rows: int = 1000,
    retry_failed: bool = False,
    filesystem: Any = None,
    address: str | None = None,
    tell: Callable[[int], object] | None = None,
) -> Report:
    """Score a collection of pairs on the workers of a Ray cluster.

    Each row of the input has a query and a text, or a query and a list of texts. The output has the
    same rows and columns, and three more: the model's raw score, the same on the scale 0..1, and
    what went wrong. Where a row has a list, each of the three has a list as long.

    A text that cannot be scored (it is null, or the model fails at it) has nulls and an error; all
    others are scored. A model that cannot be loaded ends the run with that error.

    The output is a folder of files, one for each ``part_rows`` rows, in the order of the input.
    Each is written whole and then renamed: a run that was killed, in whole or in part, is gone on
    with by calling this again with the same arguments, and every row is there once. The number of
    workers, their cores and ``batch_size`` may be others then.

    Args:
        input: Parquet files, or folders of them, as paths or URIs.
        output: A folder that is new, empty, or of an earlier run with the same arguments.
        model: A name or folder, which each worker loads; ``"a>b"`` is a cascade, for lists only.
            Or a Reranker or a scorer that can be sent to the workers.
        options: How to load it.
        query_column: Where the query stands.
        text_column: Where the text, or the list of texts, stands.
        score_column: Name of the new column of raw scores.
        relevance_column: Name of the new column of scores in 0..1.
        error_column: Name of the new column of errors.
        workers: How many, or the least and the most.
        cpus_per_worker: Cores of each, which are torch's threads.
        gpus_per_worker: GPUs of each; a fraction shares one.
        batch_size: Rows that are scored together, each query's in one call.
        part_rows: Rows of a part: what a worker that dies loses at most.
        retry_failed: Make parts again in which a text failed.
        filesystem: Of pyarrow or fsspec, on which input and output are. None finds it.
        address: Of the cluster. None is the one this process is connected to, or that
            ``RAY_ADDRESS`` names, or else a local one for the time of the run.
        tell: Called again and again with how many more rows are done.

    Returns:
        What the folder holds, and what it took.

    Raises:
        DataError: The input cannot be read or lacks a column, or the output folder holds
            something else.
        MissingExtraError: The extra ``ray`` is not installed.
        ModelLoadError: A worker cannot load the model.
        RerankError: Workers died again and again. What is done stays.
        TypeError, ValueError: An argument of the wrong kind.
    """
    chosen = model_of(model, options or ModelOptions())
    crew = Workers(workers, cpus_per_worker, gpus_per_worker, address)
    columns = PairColumns(query_column, text_column, score_column, relevance_column, error_column)
    task = PairTask(chosen, columns, positive("batch_size", batch_size))
    source = open_input(input, filesystem)
    _check(source.schema, columns, cascade=chosen.is_cascade)
    settings = {
        "task": "score",
        **chosen.described(),
        "columns": [query_column, text_column, score_column, relevance_column, error_column],
    }
    return run(
        source,
        place(output, filesystem),
        task,
        settings,
        part_rows=part_rows,
        retry_failed=retry_failed,
        workers=crew,
        tell=tell,
    )


def _check(schema: Any, columns: PairColumns, *, cascade: bool) -> None:
    import pyarrow as pa

    check_text_column(schema, columns.query)
    kind = check_text_column(schema, columns.text, lists=True)
    check_new_columns(schema, columns.score, columns.relevance, columns.error)
    if cascade and not pa.types.is_nested(kind):
        raise ValueError(
            "a cascade ranks the texts of a query together, and a row has one text here: "
            f"make {columns.text!r} a list of texts, one row for each query"
        )
