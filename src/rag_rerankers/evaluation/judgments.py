"""Judgments: who wrote them down in which format."""

from __future__ import annotations

import csv
from collections.abc import Container, Iterator
from pathlib import Path

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.cells import as_written
from rag_rerankers.evaluation.lines import is_number, open_text, read_json_objects, read_lines
from rag_rerankers.evaluation.problems import Problems

__all__ = ["LocatedQrels", "checked", "read_qrels"]

LocatedQrels = dict[str, dict[str, tuple[int, int]]]
"""Query to document to grade and the line that says so."""

_JUDGED = ("query_id", "document_id", "relevance")
_Row = tuple[int, str, str, object]


def read_qrels(path: Path, problems: Problems) -> LocatedQrels:
    """Read judgments; the format shows in the file.

    BEIR's three columns with a heading, TREC's four columns (query, anything, document, grade),
    or what :func:`~rag_rerankers.evaluation.export_judgments` wrote and a person filled in
    (``.csv`` or ``.jsonl``; rows without a grade are not judged).

    Raises:
        DataError: The file cannot be read.
    """
    qrels: LocatedQrels = {}
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        rows = _judged_csv(path)
    elif name.endswith(".jsonl"):
        rows = _judged_json(path, problems)
    else:
        rows = _columns(path, problems)
    for line, query_id, doc_id, written in rows:
        grade = _grade(written)
        if grade is None:
            detail = f"the grade {written!r:.40} is not a whole number"
            problems.add("a malformed line", "skips it", path, line, detail)
            continue
        grades = qrels.setdefault(query_id, {})
        if doc_id in grades:
            detail = f"{query_id!r}, {doc_id!r} is judged before, in line {grades[doc_id][1]}"
            problems.add("a pair judged twice", "keeps the first", path, line, detail)
            continue
        grades[doc_id] = (grade, line)
    return qrels


def checked(
    located: LocatedQrels,
    path: Path,
    documents: Container[str],
    queries: Container[str],
    problems: Problems,
) -> dict[str, dict[str, int]]:
    """Judgments of known queries; unknown documents are told, and stay as they do in trec_eval."""
    qrels = {}
    for query_id, judged in located.items():
        first = next(iter(judged.values()))[1]
        if query_id not in queries:
            detail = f"there is no query {query_id!r}"
            problems.add("a judgment of an unknown query", "skips it", path, first, detail)
            continue
        for doc_id, (_, line) in judged.items():
            if doc_id not in documents:
                what = "a judgment of an unknown document"
                remedy = "keeps it in the ideal ranking, as trec_eval does"
                problems.add(what, remedy, path, line, f"there is no document {doc_id!r}")
        if all(grade <= 0 for grade, _ in judged.values()):
            detail = f"query {query_id!r} has judgments, but none above 0"
            problems.add("a query with no relevant passage", "counts it as 0", path, first, detail)
        qrels[query_id] = {doc_id: grade for doc_id, (grade, _) in judged.items()}
    return qrels


def _columns(path: Path, problems: Problems) -> Iterator[_Row]:
    for line, text in read_lines(path, problems):
        # BEIR's ids may hold spaces, TREC's may not.
        cells = text.split("\t") if text.count("\t") == 2 else text.split()
        if line == 1 and len(cells) == 3 and not is_number(cells[2]):
            continue  # the heading
        if len(cells) == 3:
            yield line, cells[0], cells[1], cells[2]
        elif len(cells) == 4:
            yield line, cells[0], cells[2], cells[3]
        else:
            detail = f"{len(cells)} columns, not 3 (BEIR) or 4 (TREC): {text:.80}"
            problems.add("a malformed line", "skips it", path, line, detail)


def _judged_csv(path: Path) -> Iterator[_Row]:
    csv.field_size_limit(2**31 - 1)  # a passage may be a whole book
    with open_text(path, newline="") as file:
        heading = file.readline()
        # A spreadsheet in a language with decimal commas writes semicolons.
        delimiter = ";" if heading.count(";") > heading.count(",") else ","
        names = next(csv.reader([heading], delimiter=delimiter), [])
        missing = [name for name in _JUDGED if name not in names]
        if missing:
            raise DataError(f"{path}:1: no column {missing[0]!r}; judged are {', '.join(_JUDGED)}")
        reader = csv.DictReader(file, names, delimiter=delimiter)
        try:
            for row in reader:
                if (row["relevance"] or "").strip():
                    ids = (as_written(row["query_id"]), as_written(row["document_id"]))
                    yield reader.reader.line_num + 1, *ids, row["relevance"]
        except csv.Error as error:
            raise DataError(f"{path}:{reader.reader.line_num + 1}: {error}") from error


def _judged_json(path: Path, problems: Problems) -> Iterator[_Row]:
    for line, row in read_json_objects(path, problems):
        missing = [name for name in _JUDGED if name not in row]
        if missing:
            detail = f"no {missing[0]!r} in it"
            problems.add("a malformed line", "skips it", path, line, detail)
        elif row["relevance"] not in (None, ""):
            yield line, str(row["query_id"]), str(row["document_id"]), row["relevance"]


def _grade(written: object) -> int | None:
    if isinstance(written, str):
        written = written.strip()
    try:
        number = float(written)  # type: ignore[arg-type]
        return int(number) if number == int(number) else None
    except (TypeError, ValueError, OverflowError):
        return None
