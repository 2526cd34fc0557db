"""Small data files for the tests of the evaluation."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rag_rerankers.evaluation.problems import Problems

__all__ = ["CORPUS", "QUERIES", "counts", "examples", "write", "write_beir", "write_json"]

CORPUS: Sequence[Any] = (
    {"_id": "d1", "text": "panda"},
    {"_id": "d2", "text": "bear"},
    {"_id": "d3", "text": "rust"},
)
QUERIES: Sequence[Any] = ({"_id": "q1", "text": "what"}, {"_id": "q2", "text": "who"})


def write(path: Path, content: str | bytes) -> Path:
    """Write bytes as they are, gzipped if the name ends in ``.gz``."""
    raw = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def write_json(path: Path, rows: Sequence[Any]) -> Path:
    """One row a line: strings as they are, all else as JSON."""
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    return write(path, "".join(f"{line}\n" for line in lines))


def write_beir(
    folder: Path,
    *,
    corpus: Sequence[Any] = CORPUS,
    queries: Sequence[Any] = QUERIES,
    qrels: Mapping[str, str] | str = "q1\td1\t1\nq2\td2\t1\n",
) -> Path:
    """A folder in BEIR layout; judgments are one file, or several by their names."""
    write_json(folder / "corpus.jsonl", corpus)
    write_json(folder / "queries.jsonl", queries)
    for name, content in ({"qrels.tsv": qrels} if isinstance(qrels, str) else qrels).items():
        write(folder / name, content)
    return folder


def counts(problems: Problems) -> dict[str, int]:
    """Kind of mistake to how often it was met."""
    return {problem.what: problem.count for problem in problems}


def examples(problems: Problems) -> list[str]:
    """The told examples of all kinds."""
    return [example for problem in problems for example in problem.examples]
