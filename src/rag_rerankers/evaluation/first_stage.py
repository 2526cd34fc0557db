"""The candidates that are to be reranked."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.bm25 import rank_by_bm25
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.dense import load_embedding, rank_by_embedding
from rag_rerankers.evaluation.problems import Problems
from rag_rerankers.evaluation.progress import Progress, silent
from rag_rerankers.evaluation.runs import Run, read_run

__all__ = ["first_stage"]


def first_stage(
    name: str | os.PathLike[str],
    collection: Collection,
    top_k: int,
    *,
    embedding: Any = "minilm",
    embedding_arguments: str | None = None,
    lenient: bool = False,
    progress: Progress = silent,
) -> tuple[Run, Collection]:
    """Candidates for every query.

    Args:
        name: ``bm25``, ``dense``, ``given`` (those that the data brings, in their order), or a
            run file, TREC's or MS MARCO's.
        collection: Documents and queries.
        top_k: Candidates per query.
        embedding: For ``dense``: an embedding object, or a name for
            :func:`~rag_rerankers.evaluation.dense.load_embedding`.
        embedding_arguments: Goes with the name: keyword arguments as a JSON object.
        lenient: Go on with a run that names unknown documents. They keep their place before
            reranking, and stand behind all others after it, for they have no text to read.
        progress: Shows how many documents are embedded.

    Returns:
        The run, and the collection with the problems that were met.

    Raises:
        DataError: There is no such stage, or the run has mistakes.
    """
    if name == "bm25":
        return rank_by_bm25(collection, top_k), collection
    if name == "dense":
        if isinstance(embedding, str):
            embedding = load_embedding(embedding, embedding_arguments)
        return rank_by_embedding(collection, embedding, top_k, progress), collection
    if name == "given":
        return _given(collection).top(top_k), collection
    path = Path(name)
    if not path.is_file():
        raise DataError(
            f"no first stage {os.fspath(name)!r}: give bm25, dense, given, or an existing run file"
        )
    return _from_file(path, collection, top_k, lenient=lenient)


def _given(collection: Collection) -> Run:
    if not collection.given:
        raise DataError(
            f"{collection.name} brings no candidates of its own: use bm25, dense or a run file"
        )
    rankings = {id_: list(collection.given.get(id_, ())) for id_ in collection.queries}
    return Run("given", rankings)


def _from_file(
    path: Path, collection: Collection, top_k: int, *, lenient: bool
) -> tuple[Run, Collection]:
    problems = Problems(lenient=lenient)
    run = read_run(path, problems)
    known = [id_ for id_ in collection.queries if id_ in run.rankings]
    if not known:
        raise DataError(
            f"{path} ranks none of the queries of {collection.name}: it has "
            f"{next(iter(run.rankings))!r}, the collection {next(iter(collection.queries))!r}"
        )
    run = run.of(collection.queries).top(top_k)
    for id_, ranking in run.rankings.items():
        for doc_id in ranking:
            if doc_id not in collection.documents:
                what = "a ranked document that is not in the corpus"
                remedy = "puts it behind the reranked ones"
                problems.add(what, remedy, path, None, f"query {id_!r}, document {doc_id!r}")
        if not ranking:
            what = "a query without candidates"
            problems.add(what, "counts it as 0", path, None, f"query {id_!r}")
    problems.check(str(path))
    return run, replace(collection, problems=(*collection.problems, *problems))
