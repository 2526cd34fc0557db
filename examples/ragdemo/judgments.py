"""Questions with hand-judged passages, and the passages of this Python that they mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from ragdemo.passages import Passage

GRADES = (0, 1, 2)
KINDS = ("paraphrase", "keyword-trap", "multi-passage")

# Documentation builds differ in wrapping and in the quotation marks they typeset.
_STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")


class JudgmentError(ValueError):
    """A file of questions that cannot be used."""


@dataclass(frozen=True)
class Judgment:
    """How well one passage answers a question.

    Attributes:
        passage: The passage's id in the corpus that was judged.
        grade: 2 answers the question or a part of it, 1 helps, 0 was looked at and does neither.
        quote: Words of the passage that find it in another Python's corpus, where ids differ.
    """

    passage: str
    grade: int
    quote: str


@dataclass(frozen=True)
class Question:
    """A question, a reference answer, and the passages judged for it."""

    id: str
    question: str
    kind: str
    answer: str
    judgments: tuple[Judgment, ...]


@dataclass(frozen=True)
class Unresolved:
    """What could not be scored: one judgment, or with `judgment` None a whole question."""

    question: str
    judgment: Judgment | None
    reason: str


def load_questions(path: str | Path) -> list[Question]:
    """Read a JSON Lines file of questions; `examples/data/README.md` describes the fields.

    Raises:
        JudgmentError: The file is missing or malformed; the message names file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise JudgmentError(f"cannot read the questions in {str(path)!r}: {error}") from error
    questions: list[Question] = []
    first_lines: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        question = _question(line, where)
        if question.id in first_lines:
            raise JudgmentError(
                f"{where}: id {question.id!r} was used in line {first_lines[question.id]}; "
                "give every question its own"
            )
        first_lines[question.id] = number
        questions.append(question)
    if not questions:
        raise JudgmentError(f"{path}: no question in it; write one JSON object per line")
    return questions


def resolve(
    questions: Sequence[Question], passages: Sequence[Passage]
) -> tuple[dict[str, dict[str, int]], list[Unresolved]]:
    """Find the passages that the judgments mean.

    A judgment means the passage that contains its quote: the one of the same id if it does, else
    the one whose id is most alike. Two judgments of a question that meet in one passage count
    with the higher grade.

    Returns:
        The grades by question id and passage id, without questions that have no relevant passage
        left (they cannot be scored), and all that was not found, those questions included.
    """
    texts = {passage.id: _flat(passage.text) for passage in passages}
    qrels: dict[str, dict[str, int]] = {}
    unresolved: list[Unresolved] = []
    for question in questions:
        grades: dict[str, int] = {}
        for judgment in question.judgments:
            found = _find(judgment, texts)
            if found is None:
                reason = f"no passage contains {judgment.quote!r}"
                unresolved.append(Unresolved(question.id, judgment, reason))
            else:
                grades[found] = max(judgment.grade, grades.get(found, 0))
        if any(grades.values()):
            qrels[question.id] = grades
        else:
            unresolved.append(Unresolved(question.id, None, "no passage of grade 1 or 2 found"))
    return qrels, unresolved


def _find(judgment: Judgment, texts: dict[str, str]) -> str | None:
    quote = _flat(judgment.quote)
    if quote in texts.get(judgment.passage, ""):
        return judgment.passage
    found = [ident for ident, text in texts.items() if quote in text]
    return max(found, key=lambda ident: _likeness(ident, judgment.passage), default=None)


def _likeness(one: str, other: str) -> int:
    """Count the steps that two ids have in common, from the left."""
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _flat(text: str) -> str:
    return " ".join(text.translate(_STRAIGHT).split())


def _question(line: str, where: str) -> Question:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise JudgmentError(f"{where}: not JSON ({error})") from error
    if not isinstance(record, dict):
        raise JudgmentError(f"{where}: a JSON object is needed, not {line.strip()[:40]!r}")
    items = record.get("judgments")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise JudgmentError(f"{where}: 'judgments' must be a list of objects, not {items!r}")
    kind = _string(record, "kind", where)
    if kind not in KINDS:
        raise JudgmentError(f"{where}: kind {kind!r} is unknown; use one of {', '.join(KINDS)}")
    return Question(
        id=_string(record, "id", where),
        question=_string(record, "question", where),
        kind=kind,
        answer=_string(record, "answer", where),
        judgments=tuple(_judgment(item, where) for item in items),
    )


def _judgment(item: dict[str, Any], where: str) -> Judgment:
    grade = item.get("grade")
    if type(grade) is not int or grade not in GRADES:  # neither True nor 1.0
        raise JudgmentError(f"{where}: grade {grade!r} is not one of 0, 1 and 2")
    return Judgment(
        passage=_string(item, "passage", where), grade=grade, quote=_string(item, "quote", where)
    )


def _string(record: dict[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value.strip():
        raise JudgmentError(f"{where}: field {field!r} must be a text, not {value!r}")
    return value
