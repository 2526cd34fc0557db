"""The pipeline that a user has, measured with and without its reranker."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.cost import Cost, Probe, latency
from rag_rerankers.evaluation.evaluate import assess
from rag_rerankers.evaluation.groups import groups_of
from rag_rerankers.evaluation.loading import load_collection
from rag_rerankers.evaluation.measures import default_measures
from rag_rerankers.evaluation.progress import Progress, silent
from rag_rerankers.evaluation.results import Evaluation
from rag_rerankers.evaluation.runs import Run
from rag_rerankers.evaluation.skipped import refuse_skipped
from rag_rerankers.metering import metered
from rag_rerankers.reranker import Reranker

__all__ = ["evaluate_retriever"]

_ID_KEYS = ("_id", "id", "doc_id", "document_id", "source")
Retrieve = Callable[[str], Sequence[Any]]
Stage = Callable[[str, Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True)
class _Pipeline:
    """What brings the candidates, and what orders them anew."""

    retrieve: Retrieve
    stages: tuple[Stage, ...]


def evaluate_retriever(
    retriever: Any,
    data: Collection | str | os.PathLike[str],
    *,
    reranker: Any = None,
    postprocessors: Sequence[Any] = (),
    document_id: Callable[[Any], str] | None = None,
    measures: Sequence[str] | None = None,
    min_grade: int = 1,
    by: Sequence[str] = (),
    lenient: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Ask a retriever every question, with and without the reranker behind it.

    Each question is asked once: what the retriever returns is the ranking "without", and the same
    documents after the reranker are the ranking "with".

    Args:
        retriever: A LangChain retriever, or a LlamaIndex retriever or query engine. A
            ``ContextualCompressionRetriever`` and a query engine bring their own reranker.
        data: A collection, or what :func:`load_collection` takes.
        reranker: A :class:`~rag_rerankers.Reranker`, a LangChain document compressor, or a
            LlamaIndex node postprocessor.
        postprocessors: Several LlamaIndex postprocessors, in their order.
        document_id: Tells which document of the data a retrieved document or node is, or is a part
            of. By default it is recognised by its id (``Document.id``; ``metadata["_id"]``,
            ``"id"``, ``"doc_id"``, ``"document_id"``, ``"source"``; the node's id or that of its
            source document), and otherwise by its text.
        measures: Names that ir-measures knows, the main one first.
        min_grade: The lowest grade that counts as relevant, where ``measures`` is not given.
        by: Fields of the queries to report apart.
        lenient: Count mistakes in the data and go on.
        progress: Shows how far it is.

    Returns:
        The systems "retriever" and, where something stands behind it, "with reranker". Depths
        follow the longest list that was retrieved. A document of which several parts were
        retrieved counts once, at its best place.

    Raises:
        TypeError: ``retriever`` or ``reranker`` is none that is known.
        DataError: No retrieved document is one of the data's: give ``document_id``.
        RerankError: Scoring failed; also if ``on_failure="keep_order"`` passed over it.
    """
    collection = data if isinstance(data, Collection) else load_collection(data, lenient=lenient)
    behind = [*([reranker] if reranker is not None else []), *postprocessors]
    pipeline = _pipeline(retriever, behind)
    groups = groups_of(collection, by)
    identify = document_id or _Recognition(collection)
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    seconds: list[float] = []
    counts: list[int] = []
    seen: list[Any] = []
    queries = list(collection.queries.items())
    with metered() as meter:
        for id_, text in progress("asking the retriever", queries, len(queries)):
            found = list(pipeline.retrieve(text))
            # Before anything may change the documents.
            before[id_] = _ids(found, identify)
            seen.extend(found[:1])
            started = time.perf_counter()
            for stage in pipeline.stages:
                found = list(stage(text, found))
                refuse_skipped(meter, text)
            seconds.append(time.perf_counter() - started)
            counts.append(len(before[id_]))
            after[id_] = _ids(found, identify)
    _check(before, collection, seen)
    depth = max(1, *map(len, before.values()))
    reranked: list[tuple[Run, Cost | None]] = []
    if pipeline.stages:
        cost = Cost(
            query=latency(seconds, counts),
            texts_per_second=sum(counts) / max(sum(seconds), 1e-9),
            tokens_per_text=meter.tokens / sum(counts) if meter.tokens else None,
            cut=meter.cut,
            device=None,
            dtype=None,
            probe=Probe(),
        )
        reranked.append((Run("with reranker", after), cost))
    return assess(
        collection,
        Run("retriever", before),
        reranked,
        top_k=depth,
        measures=measures or default_measures(depth, min_grade),
        groups=groups,
    )


def _pipeline(retriever: Any, behind: Sequence[Any]) -> _Pipeline:
    """Take a pipeline apart; the frameworks are known by their methods, never imported."""
    if hasattr(retriever, "base_retriever") and hasattr(retriever, "base_compressor"):
        inner = _pipeline(retriever.base_retriever, ())
        return _Pipeline(
            inner.retrieve, (*inner.stages, *map(_stage, [retriever.base_compressor, *behind]))
        )
    if hasattr(retriever, "invoke"):
        return _Pipeline(retriever.invoke, tuple(map(_stage, behind)))
    # A query engine: its own retrieve() runs the postprocessors as well.
    engine = getattr(retriever, "_node_postprocessors", None)
    inner_retriever = getattr(retriever, "retriever", None) or getattr(
        retriever, "_retriever", None
    )
    if engine is not None and hasattr(inner_retriever, "retrieve"):
        assert inner_retriever is not None
        return _Pipeline(inner_retriever.retrieve, tuple(map(_stage, [*engine, *behind])))
    if hasattr(retriever, "retrieve"):
        return _Pipeline(retriever.retrieve, tuple(map(_stage, behind)))
    raise TypeError(
        f"{type(retriever).__name__} is no retriever: it has neither invoke (LangChain) nor "
        "retrieve (LlamaIndex)"
    )


def _stage(reranker: Any) -> Stage:
    if isinstance(reranker, Reranker):
        return lambda query, found: _reranked(reranker, query, found)
    if hasattr(reranker, "compress_documents"):
        return lambda query, found: list(reranker.compress_documents(found, query))
    if hasattr(reranker, "postprocess_nodes"):
        return lambda query, found: list(reranker.postprocess_nodes(found, query_str=query))
    raise TypeError(
        f"{type(reranker).__name__} is no reranker: give a Reranker, or an object with "
        "compress_documents (LangChain) or postprocess_nodes (LlamaIndex)"
    )


def _reranked(reranker: Reranker, query: str, found: Sequence[Any]) -> list[Any]:
    return [found[hit.index] for hit in reranker.rank(query, [_text(one) for one in found])]


class _Recognition:
    """Which document of the collection a retrieved one is: by its id, or by its text."""

    def __init__(self, collection: Collection) -> None:
        self._documents = collection.documents
        self._by_text: dict[str, str] | None = None

    def __call__(self, found: Any) -> str:
        for id_ in _known_ids(found):
            if id_ in self._documents:
                return id_
        return self._texts().get(_flat(_text(found)), "")

    def _texts(self) -> Mapping[str, str]:
        if self._by_text is None:
            self._by_text = {}
            for id_, text in self._documents.items():
                # Also without the title, which stands in the first line.
                for shown in (text, text.partition("\n")[2]):
                    if shown.strip():
                        self._by_text.setdefault(_flat(shown), id_)
        return self._by_text


def _known_ids(found: Any) -> Iterator[str]:
    node = getattr(found, "node", found)
    metadata = getattr(node, "metadata", None) or {}
    for id_ in (
        *(metadata.get(key) for key in _ID_KEYS),
        getattr(node, "id", None),
        getattr(node, "node_id", None),
        getattr(node, "ref_doc_id", None),
    ):
        if isinstance(id_, (str, int)):
            yield str(id_)


def _text(found: Any) -> str:
    content = getattr(found, "page_content", None)
    if content is None:
        content = getattr(found, "node", found).get_content()
    return str(content)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _ids(found: Sequence[Any], identify: Callable[[Any], str]) -> list[str]:
    """Ids in order, each once; what is no document of the data keeps its place as a stranger."""
    return list(dict.fromkeys(identify(one) or _stranger(_text(one)) for one in found))


def _stranger(text: str) -> str:
    return "?" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def _check(
    before: Mapping[str, Sequence[str]], collection: Collection, seen: Sequence[Any]
) -> None:
    if any(id_ in collection.documents for ids in before.values() for id_ in ids):
        return
    if not seen:
        raise DataError(f"the retriever found nothing for any query of {collection.name}")
    raise DataError(
        f"no retrieved document is one of {collection.name}'s: neither its ids "
        f"({', '.join(map(repr, _known_ids(seen[0]))) or 'none'}) nor its text is known there "
        f"({_text(seen[0])!r:.80}). Say which it is with document_id="
    )
