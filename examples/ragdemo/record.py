"""What is found for a question, and what is written down about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["MEASURES", "Found", "Hit", "Record", "mean", "measure", "write_jsonl"]

# A passage of grade 1 helps and counts as relevant; nDCG also rewards grade 2 above it.
MEASURES = ("MRR@10", "nDCG@10", "P@5")


@dataclass(frozen=True)
class Hit:
    """One passage of a ranking.

    Attributes:
        passage: Its id.
        title: Its headings.
        source: Where a person finds it.
        score: Cosine similarity before, relevance (0..1) after.
    """

    passage: str
    title: str
    source: str
    score: float


@dataclass(frozen=True)
class Found:
    """What the two stages make of a question.

    Attributes:
        before: Candidates in the order of the first stage.
        after: The same, reranked.
        seconds: Stage (retrieve, rerank) to wall-clock seconds.
    """

    before: tuple[Hit, ...]
    after: tuple[Hit, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """One judged question, run.

    Attributes:
        id: The question's id.
        question: Its text.
        kind: Paraphrase, keyword trap or multi-passage.
        grades: Passage to hand-judged relevance, 0 to 2; others count as 0.
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
    grades: Mapping[str, int]
    before: tuple[Hit, ...]
    after: tuple[Hit, ...]
    measures_before: Mapping[str, float]
    measures_after: Mapping[str, float]
    seconds: Mapping[str, float]
    answer: str | None = None

    @property
    def gain(self) -> float:
        """Change of nDCG@10."""
        return self.measures_after["nDCG@10"] - self.measures_before["nDCG@10"]

    @property
    def ranks_before(self) -> dict[str, int]:
        """Passage to its rank, from 1, in the first stage."""
        return {hit.passage: rank for rank, hit in enumerate(self.before, 1)}


def measure(ranking: Sequence[Hit], grades: Mapping[str, int]) -> dict[str, float]:
    """MRR@10, nDCG@10 and precision@5 of a ranking, by ir-measures.

    Args:
        ranking: Best first.
        grades: Judged passages of this question; all others count as 0.
    """
    # Imported late: the demo's first line is printed before what takes seconds.
    from rag_rerankers.evaluation import Run
    from rag_rerankers.evaluation.measures import measure as measured

    run = Run("demo", {"q": [hit.passage for hit in ranking]})
    values = measured(MEASURES, {"q": grades}, run)
    return {name: values[name]["q"] for name in MEASURES}


def mean(values: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each measure over the questions."""
    rows = list(values)
    return {name: sum(row[name] for row in rows) / len(rows) for name in MEASURES} if rows else {}


def write_jsonl(path: Path, records: Iterable[Record]) -> None:
    """Write one JSON object a line."""
    # Half a surrogate pair is no text in UTF-8; a backslash makes it the escape that JSON has.
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for record in records:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
