"""A name becomes a collection: a folder, a file or a data set of ir_datasets."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from rag_rerankers.errors import DataError, MissingExtraError
from rag_rerankers.evaluation.beir import read_beir
from rag_rerankers.evaluation.catalogue import read_catalogue
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.judgments import checked, read_qrels
from rag_rerankers.evaluation.problems import Problems
from rag_rerankers.evaluation.rag_jsonl import read_rag_jsonl

__all__ = ["load_collection"]


def load_collection(
    data: str | os.PathLike[str],
    *,
    qrels: str | os.PathLike[str] | None = None,
    split: str = "test",
    judged: bool = True,
    lenient: bool = False,
) -> Collection:
    """Load what an evaluation runs on.

    Args:
        data: A folder in BEIR layout (plain or gzipped files), a JSONL file of questions with
            their passages (:func:`~rag_rerankers.evaluation.rag_jsonl.read_rag_jsonl`), or an id
            of ir_datasets (``msmarco-passage/dev/small``).
        qrels: Judgments in a file of their own, instead of those of the data: TREC's or BEIR's
            columns, or an export that was judged by hand. Queries that it does not name are
            left out.
        split: Which judgments of a BEIR folder that has several.
        judged: Whether judgments are needed; :func:`~rag_rerankers.evaluation.compare` is
            content without.
        lenient: Count mistakes and go on, instead of refusing the data.

    Raises:
        DataError: There is nothing of that name, it is empty, or (unless ``lenient``) it has
            mistakes: each is told with its file and line.
    """
    problems = Problems(lenient=lenient)
    path = Path(data)
    own = Path(qrels) if qrels is not None else None
    if path.is_dir():
        collection = read_beir(path, problems, qrels=own, split=split, judged=judged)
    elif path.is_file():
        collection = read_rag_jsonl(path, problems, judged=judged and own is None)
    else:
        collection = _from_catalogue(os.fspath(data), judged=judged and own is None)
    if own is not None and not path.is_dir():
        collection = _judged_by(collection, own, problems)
    problems.check(os.fspath(data))
    return replace(collection, problems=tuple(problems))


def _judged_by(collection: Collection, path: Path, problems: Problems) -> Collection:
    located = read_qrels(path, problems)
    qrels = checked(located, path, collection.documents, collection.queries, problems)
    if not qrels:
        raise DataError(f"{path} judges none of the queries of {collection.name}")
    queries = {id_: text for id_, text in collection.queries.items() if id_ in qrels}
    return replace(collection, queries=queries, qrels=qrels)


def _from_catalogue(name: str, *, judged: bool) -> Collection:
    try:
        return read_catalogue(name, judged=judged)
    except MissingExtraError as error:
        raise DataError(
            f"there is no folder or file {name!r}. If it is an id of ir_datasets: {error}"
        ) from error
