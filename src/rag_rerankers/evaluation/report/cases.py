"""The queries that a model helped most, and those that it hurt most."""

from __future__ import annotations

from dataclasses import dataclass

from rag_rerankers.evaluation.report.movement import Move, moves_of
from rag_rerankers.evaluation.report.plot import SAME
from rag_rerankers.evaluation.report.words import short
from rag_rerankers.evaluation.results import Evaluation, Gain, System

__all__ = ["Case", "Passage", "cases_of"]

_PASSAGE = 300
_QUESTION = 400
_MOVES = 8


@dataclass(frozen=True)
class Passage:
    """What stands first in a ranking.

    Attributes:
        document: Its id.
        text: The beginning of its text; None if the collection has none.
        grade: How relevant it is; None if nobody judged it.
    """

    document: str
    text: str | None
    grade: int | None


@dataclass(frozen=True)
class Case:
    """One query.

    Attributes:
        gain: What changed.
        question: Its text.
        moves: Its relevant passages, the most relevant first.
        more: Relevant passages beyond these.
        first_before: What stood first; None if there were no candidates.
        first_after: What stands first now.
    """

    gain: Gain
    question: str
    moves: tuple[Move, ...]
    more: int
    first_before: Passage | None
    first_after: Passage | None


def cases_of(evaluation: Evaluation, model: System, n: int) -> tuple[list[Case], list[Case]]:
    """The queries that gained most, and those that lost most, n each at most."""
    gains = evaluation.gains(model)
    gained = [gain for gain in gains[:n] if gain.change > SAME]
    lost = [gain for gain in gains[::-1][:n] if gain.change < -SAME]
    return (
        [_case(evaluation, model, gain) for gain in gained],
        [_case(evaluation, model, gain) for gain in lost],
    )


def _case(evaluation: Evaluation, model: System, gain: Gain) -> Case:
    found = moves_of(evaluation, model, gain.query)
    return Case(
        gain=gain,
        question=short(evaluation.collection.queries.get(gain.query, gain.query), _QUESTION),
        moves=tuple(found[:_MOVES]),
        more=max(0, len(found) - _MOVES),
        first_before=_first(evaluation, evaluation.first, gain.query),
        first_after=_first(evaluation, model, gain.query),
    )


def _first(evaluation: Evaluation, system: System, query: str) -> Passage | None:
    ranking = system.run.rankings.get(query, ())
    if not ranking:
        return None
    text = evaluation.collection.documents.get(ranking[0])
    return Passage(
        document=ranking[0],
        text=None if text is None else short(text, _PASSAGE),
        grade=evaluation.collection.qrels.get(query, {}).get(ranking[0]),
    )
