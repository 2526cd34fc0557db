"""Data sets of the library ir_datasets, by their ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.extras import needed

__all__ = ["read_catalogue"]


class _Documents(Mapping[str, str]):
    """Texts looked up in the library's store: millions of them need not fit into memory."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._store = dataset.docs_store()

    def __getitem__(self, doc_id: str) -> str:
        return _text(self._store.get(doc_id))

    def __iter__(self) -> Iterator[str]:
        return (document.doc_id for document in self._dataset.docs_iter())

    def __len__(self) -> int:
        count = self._dataset.docs_count()  # unknown until the store is built, for some
        return sum(1 for _ in self) if count is None else int(count)


def read_catalogue(name: str, *, judged: bool = True) -> Collection:
    """Load a data set such as ``msmarco-passage/dev/small`` or ``beir/scifact/test``.

    The library downloads it on first use, where a network exists, and keeps it.

    Raises:
        MissingExtraError: ir_datasets is not installed.
        DataError: The id is unknown, the download fails, or the set has no judgments.
    """
    datasets = needed("ir_datasets", f"the data set {name!r} of ir_datasets", "datasets")
    try:
        dataset = datasets.load(name)
    except KeyError as error:
        raise DataError(
            f"there is no data {name!r}: neither a folder in BEIR layout, nor a JSONL file, nor an "
            "id of ir_datasets (https://ir-datasets.com)"
        ) from error
    for has, what in (
        (dataset.has_docs(), "documents"),
        (dataset.has_queries(), "queries"),
        (dataset.has_qrels() or not judged, "judgments"),
    ):
        if not has:
            raise DataError(f"the data set {name!r} has no {what}: use one of its subsets")
    try:
        return _read(name, dataset, judged=judged)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"the data set {name!r} cannot be had: {error}. ir_datasets downloads it on first "
            "use; without a network, use a folder in BEIR layout"
        ) from error


def _read(name: str, dataset: Any, *, judged: bool) -> Collection:
    if next(iter(dataset.docs_iter()), None) is None:  # downloads what is not there yet
        raise DataError(f"the data set {name!r} holds no document: there is nothing to search")
    qrels: dict[str, dict[str, int]] = {}
    if judged:
        for qrel in dataset.qrels_iter():
            qrels.setdefault(qrel.query_id, {})[qrel.doc_id] = int(qrel.relevance)
    queries = {query.query_id: _text(query) for query in dataset.queries_iter()}
    given: dict[str, list[tuple[float, str]]] = {}
    if dataset.has_scoreddocs():
        for scored in dataset.scoreddocs_iter():
            given.setdefault(scored.query_id, []).append((float(scored.score), scored.doc_id))
    return Collection(
        name,
        _Documents(dataset),
        {id_: text for id_, text in queries.items() if not judged or id_ in qrels},
        qrels={id_: grades for id_, grades in qrels.items() if id_ in queries},
        given={
            id_: [doc_id for _, doc_id in sorted(scored, reverse=True)]
            for id_, scored in given.items()
        },
    )


def _text(row: Any) -> str:
    return str(row.default_text())
