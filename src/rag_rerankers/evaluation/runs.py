"""Rankings of many queries: TREC run files in, TREC run files out."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.lines import is_number, read_lines
from rag_rerankers.evaluation.problems import Problems

__all__ = ["Run", "read_run", "write_run"]


@dataclass(frozen=True)
class Run:
    """The ranking of every query by one system.

    The order is what counts. Scores are kept for the eye and for run files.

    Attributes:
        name: The system.
        rankings: Query to its documents, best first, each once.
        scores: Query to the scores of these documents, in the same order; may be empty.
    """

    name: str
    rankings: Mapping[str, Sequence[str]]
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def of(self, queries: Iterable[str]) -> Run:
        """The rankings of these queries; empty where there is none."""
        chosen = list(queries)
        return Run(
            self.name,
            {id_: self.rankings.get(id_, ()) for id_ in chosen},
            {id_: self.scores[id_] for id_ in chosen if id_ in self.scores},
        )

    def top(self, k: int) -> Run:
        """The first k of every ranking."""
        return Run(
            self.name,
            {id_: ranking[:k] for id_, ranking in self.rankings.items()},
            {id_: scores[:k] for id_, scores in self.scores.items()},
        )


def read_run(path: Path, problems: Problems | None = None) -> Run:
    """Read a run file, in the order in which ``trec_eval`` would see it.

    ``trec_eval`` ignores the column of ranks: it sorts by score, as a 32-bit float, and breaks
    ties by document id, the later one first. MS MARCO's three columns (query, document, rank)
    are read as well, ordered by rank; with a heading that ends in ``score``, by score.

    Args:
        path: Six columns, or three; plain or gzipped.
        problems: Collects mistakes; None: they are errors.

    Raises:
        DataError: The file cannot be read, or holds no ranking, or mistakes that nobody collects.
    """
    if problems is None:
        problems = Problems()
        run = read_run(path, problems)
        problems.check(str(path))
        return run
    rows: dict[str, dict[str, float]] = {}
    third = "rank"
    for line, text in read_lines(path, problems):
        cells = text.split("\t") if text.count("\t") == 2 else text.split()
        if line == 1 and len(cells) == 3 and not is_number(cells[2]):
            third = "score" if "score" in cells[2].lower() else "rank"
            continue
        if len(cells) == 6:
            query_id, _, doc_id, _, written, _ = cells
            value = _number(written)
        elif len(cells) == 3:
            query_id, doc_id, written = cells
            value = _number(written)
            value = -value if value is not None and third == "rank" else value
        else:
            detail = f"{len(cells)} columns, not 6 (TREC) or 3 (MS MARCO): {text:.80}"
            problems.add("a malformed line", "skips it", path, line, detail)
            continue
        if value is None:
            detail = f"{written!r:.40} is not a number"
            problems.add("a malformed line", "skips it", path, line, detail)
        elif doc_id in rows.setdefault(query_id, {}):
            detail = f"document {doc_id!r} of query {query_id!r} is there before"
            problems.add("a duplicate id", "keeps the first", path, line, detail)
        else:
            rows[query_id][doc_id] = value
    if not rows:
        raise DataError(f"{path} holds no ranking")
    ranked = {id_: _as_trec_eval(scores) for id_, scores in rows.items()}
    return Run(
        path.name.removesuffix(".gz"),
        {id_: [doc_id for doc_id, _ in ranking] for id_, ranking in ranked.items()},
        {id_: [score for _, score in ranking] for id_, ranking in ranked.items()},
    )


def write_run(path: Path, run: Run) -> None:
    """Write six columns (gzipped if the name ends in ``.gz``) that ``trec_eval`` reads as meant.

    Scores are written so that they fall strictly as 32-bit floats: ties, which ``trec_eval``
    would break by document id, keep the ranking's order.

    Args:
        path: The file.
        run: Rankings; without scores, falling whole numbers are written.

    Raises:
        ValueError: An id holds white space, which the format cannot express.
    """
    for query_id, ranking in run.rankings.items():
        for id_ in (query_id, *ranking):
            if not id_ or any(character.isspace() for character in id_):
                raise ValueError(f"the id {id_!r} has white space: a run file cannot hold it")
    tag = "_".join(run.name.split()) or "run"
    lines = (
        f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n"
        for query_id, ranking in run.rankings.items()
        for rank, (doc_id, score) in enumerate(
            zip(ranking, _falling(run.scores.get(query_id, ()), len(ranking)), strict=True), 1
        )
    )
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
        for line in lines:
            file.write(line.encode())


def _as_trec_eval(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    def key(row: tuple[str, float]) -> tuple[float, bytes]:
        return float(np.float32(row[1])), row[0].encode()

    with np.errstate(over="ignore"):  # beyond the range of 32 bits: infinite, also there
        return sorted(scores.items(), key=key, reverse=True)


def _falling(scores: Sequence[float], n: int) -> Iterable[float]:
    if len(scores) != n:
        return range(n, 0, -1)
    return _nudged(scores)


def _nudged(scores: Sequence[float]) -> Iterator[float]:
    last = np.float32(np.inf)
    for score in scores:
        value = np.float32(max(min(score, 3e38), -3e38))
        last = value if value < last else np.nextafter(last, np.float32(-np.inf))
        yield float(last)


def _number(written: str) -> float | None:
    return float(written) if is_number(written) and not math.isnan(float(written)) else None
