"""The records as an evaluation, and that as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rag_rerankers.evaluation import Collection, Evaluation, Run
from rag_rerankers.evaluation.cost import Cost, Probe, latency
from rag_rerankers.evaluation.evaluate import assess
from rag_rerankers.evaluation.report.page import write_page
from ragdemo.passages import Passage
from ragdemo.record import Hit, Record

__all__ = ["evaluation_of", "write_report"]

_MEASURES = ("nDCG@10", "MRR@10", "P@5")


def write_report(
    path: Path, records: Sequence[Record], passages: Iterable[Passage], *, model: str, corpus: str
) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        records: One per question, at least one.
        passages: What was searched.
        model: Name of the reranker.
        corpus: What was searched, in words.
    """
    write_page(path, evaluation_of(records, passages, model=model, corpus=corpus))


def evaluation_of(
    records: Sequence[Record], passages: Iterable[Passage], *, model: str, corpus: str
) -> Evaluation:
    """The records as the evaluation that the core's reports are made of."""
    kinds: dict[str, list[str]] = {}
    for record in records:
        kinds.setdefault(record.kind, []).append(record.id)
    candidates = [len(record.before) for record in records]
    seconds = [record.seconds["rerank"] for record in records]
    cost = Cost(
        query=latency(seconds, candidates),
        texts_per_second=sum(candidates) / max(sum(seconds), 1e-9),
        tokens_per_text=None,
        cut=0,
        device=None,
        dtype=None,
        probe=Probe(),
    )
    return assess(
        Collection(
            name=f"{len(records)} questions on {corpus}",
            documents={passage.id: passage.text for passage in passages},
            queries={record.id: record.question for record in records},
            qrels={record.id: record.grades for record in records},
        ),
        Run("Chroma", {record.id: _ids(record.before) for record in records}),
        [(Run(model, {record.id: _ids(record.after) for record in records}), cost)],
        top_k=max(1, *candidates),
        measures=_MEASURES,
        groups={"kind": dict(sorted(kinds.items()))} if len(kinds) > 1 else {},
    )


def _ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.passage for hit in hits]
