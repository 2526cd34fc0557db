"""What is written down about one question: candidates before, order after, relevance of both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ir_measures
from ir_measures import RR, P, Qrel, ScoredDoc, nDCG

__all__ = ["MEASURES", "Candidate", "Record", "mean", "measure", "write_jsonl"]

# A passage of grade 1 helps and counts as relevant; nDCG also rewards grade 2 above it.
_MEASURES = {"MRR@10": RR @ 10, "nDCG@10": nDCG @ 10, "P@5": P @ 5}
MEASURES = tuple(_MEASURES)


@dataclass(frozen=True)
class Candidate:
    """One passage of a ranking.

    Attributes:
        passage: Its id.
        title: Its headings.
        score: Cosine similarity before, relevance (0..1) after.
        grade: Hand-judged relevance, 0 to 2; None if nobody judged it.
    """

    passage: str
    title: str
    score: float
    grade: int | None = None


@dataclass(frozen=True)
class Record:
    """One question.

    Attributes:
        id: The question's id.
        question: Its text.
        kind: Paraphrase, keyword trap or multi-passage.
        before: Candidates in the order of the first stage.
        after: The same, reranked.
        measures_before: Measure to value.
        measures_after: Measure to value.
        seconds: Stage to wall-clock seconds: retrieve, rerank and, where asked for, answer.
        answer: What the LLM said, if it was asked.
    """

    id: str
    question: str
    kind: str
    before: tuple[Candidate, ...]
    after: tuple[Candidate, ...]
    measures_before: Mapping[str, float]
    measures_after: Mapping[str, float]
    seconds: Mapping[str, float]
    answer: str | None = field(default=None)


def measure(ranking: Sequence[Candidate], grades: Mapping[str, int]) -> dict[str, float]:
    """MRR@10, nDCG@10 and precision@5 of a ranking, by ir-measures.

    Args:
        ranking: Best first.
        grades: Judged passages of this question; all others count as 0.
    """
    qrels = [Qrel("q", passage, grade) for passage, grade in grades.items()]
    # trec_eval sorts by score and breaks ties by id, so the rank itself is given as the score.
    run = [ScoredDoc("q", hit.passage, float(-rank)) for rank, hit in enumerate(ranking)]
    values = ir_measures.calc_aggregate(list(_MEASURES.values()), qrels, run)
    return {name: float(values[m]) for name, m in _MEASURES.items()}


def mean(values: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each measure over the questions."""
    rows = list(values)
    return {name: sum(row[name] for row in rows) / len(rows) for name in MEASURES} if rows else {}


def write_jsonl(path: Path, records: Iterable[Record]) -> None:
    """Write one JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
