"""Token vectors for every text of a collection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from rag_rerankers.distributed.cluster import Workers
from rag_rerankers.distributed.models import model_of
from rag_rerankers.distributed.places import place
from rag_rerankers.distributed.report import Report
from rag_rerankers.distributed.run import (
    check_new_columns,
    check_text_column,
    open_input,
    positive,
    run,
)
from rag_rerankers.distributed.vectors import DTYPES, VectorColumns, VectorTask
from rag_rerankers.options import ModelOptions
from rag_rerankers.reranker import DEFAULT_MODEL, Reranker

__all__ = ["encode_parquet"]


def encode_parquet(
    input: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],  # noqa: A002 -- what it is
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | Reranker = DEFAULT_MODEL,
    options: ModelOptions | None = None,
    text_column: str = "text",
    vectors_column: str = "vectors",
    passages_column: str = "passages",
    error_column: str = "error",
    dtype: str = "float16",
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
    """Encode a collection of texts with a late-interaction model on the workers of a Ray cluster.

    The output has the rows and columns of the input, and three more: the vectors, as a list of
    lists of ``dim`` numbers; how many of them belong to each window of the text (one number, unless
    ``long_documents="max_passage"`` split it); and what went wrong. A text's raw score is the sum,
    over the query's vectors, of the best inner product with one of its vectors; of a text in
    windows, the best window's.

    Parts, failures, restarts and the arguments not told of here are as for
    :func:`~rag_rerankers.distributed.score_parquet`.

    Args:
        input: Parquet files, or folders of them, as paths or URIs.
        output: A folder that is new, empty, or of an earlier run with the same arguments.
        model: A late-interaction model.
        options: How to load it.
        text_column: Where the text stands.
        vectors_column: Name of the new column of vectors.
        passages_column: Name of the new column of numbers of vectors.
        error_column: Name of the new column of errors.
        dtype: Of the numbers: ``"float16"`` (pyarrow 15 or newer reads it), or ``"float32"``.
        workers: How many, or the least and the most.
        cpus_per_worker: Cores of each, which are torch's threads.
        gpus_per_worker: GPUs of each; a fraction shares one.
        batch_size: Rows that are encoded together.
        part_rows: Rows of a part: what a worker that dies loses at most.
        retry_failed: Make parts again in which a text failed.
        filesystem: Of pyarrow or fsspec, on which input and output are. None finds it.
        address: Of the cluster.
        tell: Called again and again with how many more rows are done.

    Returns:
        What the folder holds, and what it took.

    Raises:
        DataError: The input cannot be read or lacks a column, or the output folder holds
            something else.
        MissingExtraError: The extra ``ray`` is not installed.
        ModelLoadError: A worker cannot load the model.
        RerankError: Workers died again and again. What is done stays.
        TypeError, ValueError: An argument of the wrong kind, or a model without token vectors.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    chosen = model_of(model, options or ModelOptions())
    crew = Workers(workers, cpus_per_worker, gpus_per_worker, address)
    columns = VectorColumns(text_column, vectors_column, passages_column, error_column)
    task = VectorTask(chosen, columns, dtype, positive("batch_size", batch_size))
    source = open_input(input, filesystem)
    check_text_column(source.schema, text_column)
    check_new_columns(source.schema, vectors_column, passages_column, error_column)
    settings = {
        "task": "encode",
        **chosen.described(),
        "columns": [text_column, vectors_column, passages_column, error_column],
        "dtype of vectors": dtype,
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
