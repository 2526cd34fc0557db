"""A file of questions with their passages, as people keep them for RAG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.lines import read_json_objects
from rag_rerankers.evaluation.problems import Problems

__all__ = ["read_rag_jsonl"]

_QUESTION = ("question", "query", "text")
_PASSAGES = ("passages", "documents", "contexts", "candidates", "texts")
_RELEVANCE = ("relevance", "relevances", "labels")
_POSITIVE = ("positives", "positive", "pos")
_NEGATIVE = ("negatives", "negative", "neg")
_ID = ("id", "_id", "query_id", "qid")
_PASSAGE_TEXT = ("text", "page_content", "content", "passage", "passage_text")
_PASSAGE_ID = ("id", "_id", "doc_id", "document_id")
_PASSAGE_RELEVANCE = ("relevance", "label", "is_selected", "relevant")


class _MalformedError(Exception):
    """What is wrong with a line."""


@dataclass(frozen=True)
class _Passage:
    id: str | None
    text: str
    grade: int | None


def read_rag_jsonl(path: Path, problems: Problems, *, judged: bool = True) -> Collection:
    """Read one question a line.

    Each line is an object with the ``question`` and its ``passages``, in the order in which they
    were retrieved: strings, or objects with ``text`` and perhaps ``title``, ``id`` and
    ``relevance``. What is relevant stands beside each passage, or in a list ``relevance`` with
    one grade a passage; or the passages come as ``positives`` and ``negatives``. A passage
    without a judgment is not judged. The corpus is the union of all passages: equal texts are
    one document.

    Args:
        path: The file, plain or gzipped.
        problems: Collects mistakes.
        judged: Whether judgments are needed.

    Raises:
        DataError: The file cannot be read, or holds no question with passages.
    """
    documents: dict[str, str] = {}
    ids: dict[str, str] = {}
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    given: dict[str, list[str]] = {}
    fields: dict[str, dict[str, str]] = {}
    for line, row in read_json_objects(path, problems):
        try:
            question = _question(row)
            passages = list(_passages(row))
        except _MalformedError as error:
            problems.add("a malformed line", "skips it", path, line, str(error))
            continue
        query_id = _id(row, _ID) or f"q{line}"
        if query_id in queries:
            detail = f"question {query_id!r} is there before"
            problems.add("a duplicate id", "keeps the first", path, line, detail)
            continue
        grades: dict[str, int] = {}
        candidates: list[str] = []
        for place, passage in enumerate(passages, 1):
            id_ = ids.setdefault(passage.text, passage.id or f"{query_id}-{place}")
            if documents.setdefault(id_, passage.text) != passage.text:
                detail = f"passage {id_!r} has another text before"
                problems.add("a duplicate id", "keeps the first", path, line, detail)
            if id_ not in candidates:
                candidates.append(id_)
            if passage.grade is not None:
                grades[id_] = max(passage.grade, grades.get(id_, passage.grade))
        if judged and not any(grade > 0 for grade in grades.values()):
            detail = f"question {query_id!r}: {question:.60}"
            remedy = "counts it as 0" if grades else "leaves it out"
            problems.add("a query with no relevant passage", remedy, path, line, detail)
            if not grades:
                continue
        queries[query_id] = question
        qrels[query_id] = grades
        given[query_id] = candidates
        fields[query_id] = _fields(row)
    if not documents and any(problem.what == "a malformed line" for problem in problems):
        problems.check(str(path))  # that is why there is none
    if not documents:
        raise DataError(f"{path} holds no question with passages: there is nothing to rank")
    if not queries:
        raise DataError(
            f"{path} says of no passage that it is relevant. Without judgments, "
            "'rag-rerankers compare' shows how two rankings differ"
        )
    return Collection(
        path.name.split(".")[0],
        documents,
        queries,
        qrels=qrels if judged else {},
        given=given,
        fields=fields,
    )


def _question(row: Mapping[str, Any]) -> str:
    question = _first(row, _QUESTION)
    if not isinstance(question, str):
        raise _MalformedError(f"no string 'question' (or 'query') in it: {row!r:.80}")
    return question


def _passages(row: Mapping[str, Any]) -> Iterator[_Passage]:
    written = _first(row, _PASSAGES)
    if written is None:
        positives, negatives = _first(row, _POSITIVE), _first(row, _NEGATIVE)
        if positives is None:
            raise _MalformedError(f"neither 'passages' nor 'positives' in it: {row!r:.80}")
        for passages, grade in ((positives, 1), (negatives or [], 0)):
            for place, passage in enumerate(_list(passages), 1):
                yield _passage(passage, grade, place)
        return
    passages = _list(written)
    grades = _first(row, _RELEVANCE)
    if grades is not None and (not isinstance(grades, list) or len(grades) != len(passages)):
        raise _MalformedError(
            f"'relevance' must be a list of {len(passages)} grades, one a passage: {grades!r:.80}"
        )
    for place, passage in enumerate(passages, 1):
        yield _passage(passage, grades[place - 1] if grades else None, place)


def _passage(written: object, grade: object, place: int) -> _Passage:
    if isinstance(written, str):
        return _Passage(None, written, _grade(grade, place))
    if not isinstance(written, dict):
        raise _MalformedError(f"passage {place} is neither a string nor an object: {written!r:.80}")
    text = _first(written, _PASSAGE_TEXT)
    if not isinstance(text, str):
        raise _MalformedError(f"passage {place} has no string 'text': {written!r:.80}")
    title = written.get("title")
    if isinstance(title, str) and title:
        text = f"{title}\n{text}"
    if grade is None:
        grade = _first(written, _PASSAGE_RELEVANCE)
    return _Passage(_id(written, _PASSAGE_ID), text, _grade(grade, place))


def _grade(written: object, place: int) -> int | None:
    if written is None:
        return None
    whole = isinstance(written, int) or (isinstance(written, float) and written.is_integer())
    if not whole:
        raise _MalformedError(
            f"the relevance of passage {place} is not a whole number: {written!r:.40}"
        )
    return int(cast("float", written))


def _list(written: object) -> Sequence[object]:
    if isinstance(written, list):
        return written
    if isinstance(written, str):
        return [written]
    raise _MalformedError(f"not a list of passages: {written!r:.80}")


def _id(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    found = _first(row, names)
    return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else None


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _fields(row: Mapping[str, Any]) -> dict[str, str]:
    used = {*_QUESTION, *_ID}
    return {
        name: value for name, value in row.items() if isinstance(value, str) and name not in used
    }
