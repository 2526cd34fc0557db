"""Disagreements written out for a person to judge; :func:`read_qrels` reads them back."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path

from rag_rerankers.evaluation.cells import as_cell
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.comparison import Comparison

__all__ = ["export_judgments"]

_COLUMNS = ("query_id", "document_id", "relevance", "query", "text")


def export_judgments(
    path: Path, comparison: Comparison, collection: Collection, *, per_query: int = 5, seed: int = 0
) -> int:
    """Write the passages on which two rankings differ most, for judging by hand.

    The file does not say which ranking likes a passage, and their order is drawn by lot: whoever
    fills in the column ``relevance`` (0 for no, 1 or more for yes; empty: not judged) cannot take
    sides. The judged file is what ``--qrels`` takes.

    Args:
        path: ``.csv`` for a spreadsheet, ``.jsonl`` for a program.
        comparison: What :func:`~rag_rerankers.evaluation.compare` found.
        collection: Holds the texts.
        per_query: Passages of a query at most.
        seed: Of the lot.

    Returns:
        How many passages were written.

    Raises:
        ValueError: The name has another ending, or a query is not in the collection.
    """
    if path.suffix not in {".csv", ".jsonl"}:
        raise ValueError(f"judgments are written to .csv or .jsonl, not to {path.name!r}")
    rows = list(_rows(comparison, collection, per_query, random.Random(seed)))
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        if path.suffix == ".jsonl":
            for row in rows:
                given = {**dict(zip(_COLUMNS, row, strict=True)), "relevance": None}
                file.write(json.dumps(given, ensure_ascii=False) + "\n")
        else:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(map(as_cell, row) for row in rows)
    return len(rows)


def _rows(
    comparison: Comparison, collection: Collection, per_query: int, lot: random.Random
) -> Iterator[tuple[str, str, str, str, str]]:
    for query in comparison.queries:
        if query.query not in collection.queries:
            raise ValueError(f"query {query.query!r} is not one of {collection.name}'s")
        found = [one for one in query.disagreements if one.document in collection.documents]
        # By lot first: of equal weight, neither ranking's passages go before the other's.
        lot.shuffle(found)
        chosen = sorted(found, key=lambda one: one.weight, reverse=True)[:per_query]
        lot.shuffle(chosen)
        for one in chosen:
            text = collection.documents[one.document]
            yield one.query, one.document, "", collection.queries[one.query], text
