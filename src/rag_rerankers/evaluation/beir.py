"""Folders in BEIR layout: corpus.jsonl, queries.jsonl, judgments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.judgments import checked, read_qrels
from rag_rerankers.evaluation.lines import find, read_json_objects
from rag_rerankers.evaluation.problems import Problems

__all__ = ["read_beir"]


def read_beir(
    folder: Path,
    problems: Problems,
    *,
    qrels: Path | None = None,
    split: str = "test",
    judged: bool = True,
) -> Collection:
    """Read a folder.

    Args:
        folder: Holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels.tsv`` or
            ``qrels/<split>.tsv``, plain or gzipped.
        problems: Collects mistakes.
        qrels: Other judgments than the folder's.
        split: Which of several judgment files.
        judged: Whether judgments are needed; without, all questions are kept.

    Raises:
        DataError: A file is missing or there is nothing in it.
    """
    corpus = _needed(folder, "corpus.jsonl")
    documents = {id_: _text(row) for _, id_, row in _rows(corpus, "document", problems)}
    if not documents:
        problems.check(str(corpus))  # why there is none
        raise DataError(f"{corpus} holds no document: there is nothing to search")
    path = _needed(folder, "queries.jsonl")
    asked = {id_: (line, row) for line, id_, row in _rows(path, "query", problems)}
    if not asked:
        problems.check(str(path))
        raise DataError(f"{path} holds no query: there is nothing to ask")
    queries = {id_: str(row["text"]) for id_, (_, row) in asked.items()}
    fields = {id_: _fields(row) for id_, (_, row) in asked.items()}
    if not judged and qrels is None:
        return Collection(folder.resolve().name, documents, queries, fields=fields)
    alone = qrels is None and find(folder, "qrels.tsv") is not None
    source = qrels or _find_qrels(folder, split)
    located = read_qrels(source, problems)
    grades = checked(located, source, documents, queries, problems)
    if alone:
        # One file of judgments is about all queries. With splits, most belong to another one.
        for id_, (line, _) in asked.items():
            if id_ not in located:
                detail = f"query {id_!r} is not judged in {source.name}"
                problems.add(
                    "a query with no relevant passage", "leaves it out", path, line, detail
                )
    if not grades:
        problems.check(str(source))
        raise DataError(f"{source} judges none of the queries of {path}")
    return Collection(
        folder.resolve().name,
        documents,
        {id_: text for id_, text in queries.items() if id_ in grades},
        qrels=grades,
        fields={id_: fields[id_] for id_ in grades},
    )


def _rows(path: Path, what: str, problems: Problems) -> Iterator[tuple[int, str, dict[str, Any]]]:
    seen: dict[str, int] = {}
    for line, row in read_json_objects(path, problems):
        id_ = row.get("_id")
        if isinstance(id_, int) and not isinstance(id_, bool):
            id_ = str(id_)
        if not isinstance(id_, str) or not isinstance(row.get("text"), str):
            detail = f"no string '_id' and 'text' in it: {row!r:.80}"
            problems.add("a malformed line", "skips it", path, line, detail)
        elif id_ in seen:
            detail = f"{what} {id_!r} is there before, in line {seen[id_]}"
            problems.add("a duplicate id", "keeps the first", path, line, detail)
        else:
            seen[id_] = line
            yield line, id_, row


def _text(row: Mapping[str, Any]) -> str:
    title = row.get("title")
    return f"{title}\n{row['text']}" if isinstance(title, str) and title else str(row["text"])


def _fields(row: Mapping[str, Any]) -> dict[str, str]:
    """What is told of a query besides its text, where it is a word and not a structure."""
    metadata = row.get("metadata")
    told = {**(metadata if isinstance(metadata, dict) else {}), **row}
    return {
        name: value
        for name, value in told.items()
        if isinstance(value, str) and name not in {"_id", "text", "title"}
    }


def _needed(folder: Path, name: str) -> Path:
    path = find(folder, name)
    if path is None:
        raise DataError(f"{folder} has no {name} or {name}.gz: it is not a folder in BEIR layout")
    return path


def _find_qrels(folder: Path, split: str) -> Path:
    path = find(folder, "qrels.tsv", f"qrels/{split}.tsv")
    if path is not None:
        return path
    there = sorted(found.name for found in folder.glob("qrels/*.tsv*"))
    hint = f"; there are {', '.join(there)}: choose with --split" if there else ""
    raise DataError(
        f"{folder} has no judgments: neither qrels.tsv nor qrels/{split}.tsv{hint}. "
        "Without judgments, 'rag-rerankers compare' shows how two rankings differ"
    )
