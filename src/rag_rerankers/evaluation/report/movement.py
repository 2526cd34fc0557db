"""Where relevant passages stood before reranking, and where they stand after it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rag_rerankers.evaluation.results import Evaluation, System

__all__ = ["Move", "Moves", "lowest_grade", "moves", "moves_of", "recall_curve"]


@dataclass(frozen=True)
class Move:
    """A relevant passage in two rankings of one query.

    Attributes:
        query: The query's id.
        document: The passage's id.
        grade: How relevant it is.
        before: Its rank in the first stage, from 1; None if it is not there.
        after: Its rank after reranking.
    """

    query: str
    document: str
    grade: int
    before: int | None
    after: int | None

    @property
    def places(self) -> int:
        """How many places it rose; negative if it fell, 0 where it is in one ranking only."""
        return 0 if self.before is None or self.after is None else self.before - self.after


@dataclass(frozen=True)
class Moves:
    """All relevant passages that both rankings hold.

    Attributes:
        moves: One a passage.
        missed: Relevant passages that one of the two lacks, or both.
    """

    moves: tuple[Move, ...]
    missed: int

    @property
    def rose(self) -> int:
        """How many stand higher."""
        return sum(move.places > 0 for move in self.moves)

    @property
    def fell(self) -> int:
        """How many stand lower."""
        return sum(move.places < 0 for move in self.moves)

    @property
    def stayed(self) -> int:
        """How many stand where they stood."""
        return len(self.moves) - self.rose - self.fell


def lowest_grade(evaluation: Evaluation) -> int:
    """The lowest grade that the measures take for relevant."""
    levels = (re.search(r"\brel=(\d+)", name) for name in evaluation.measures)
    return max((int(level[1]) for level in levels if level), default=1)


def moves_of(evaluation: Evaluation, model: System, query: str) -> list[Move]:
    """The relevant passages of one query, retrieved or not, the most relevant first."""
    lowest = lowest_grade(evaluation)
    grades = evaluation.collection.qrels.get(query, {})
    relevant = {doc_id: grade for doc_id, grade in grades.items() if grade >= lowest}
    before, after = (
        {
            doc_id: rank
            for rank, doc_id in enumerate(system.run.rankings.get(query, ()), 1)
            if doc_id in relevant
        }
        for system in (evaluation.first, model)
    )
    found = [
        Move(query, doc_id, grade, before.get(doc_id), after.get(doc_id))
        for doc_id, grade in relevant.items()
    ]
    return sorted(found, key=lambda move: (-move.grade, move.after or 10**9, move.before or 10**9))


def moves(evaluation: Evaluation, model: System) -> Moves:
    """The relevant passages of all queries."""
    found = [
        move for query in evaluation.collection.qrels for move in moves_of(evaluation, model, query)
    ]
    both = [move for move in found if move.before is not None and move.after is not None]
    return Moves(tuple(both), len(found) - len(both))


def recall_curve(evaluation: Evaluation, system: System) -> list[float]:
    """Recall@1, Recall@2, ... Recall@top_k: the mean over queries, as in the tables."""
    lowest = lowest_grade(evaluation)
    qrels = evaluation.collection.qrels
    gained = [0.0] * evaluation.top_k
    for query, grades in qrels.items():
        relevant = {doc_id for doc_id, grade in grades.items() if grade >= lowest}
        for place in _places(system.run.rankings.get(query, ())[: evaluation.top_k], relevant):
            gained[place] += 1 / len(relevant) / len(qrels)
    return list(accumulate(gained))


def _places(ranking: Sequence[str], relevant: set[str]) -> Iterator[int]:
    return (place for place, doc_id in enumerate(ranking) if doc_id in relevant)
