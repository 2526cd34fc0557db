"""Queries that are reported apart: by language, by what the data says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.languages import Languages, query_languages

__all__ = ["Groups", "groups_of"]

Groups = Mapping[str, Mapping[str, Sequence[str]]]
"""Field to label to queries."""


def groups_of(collection: Collection, by: Sequence[str] = ()) -> dict[str, dict[str, list[str]]]:
    """Field to label to queries; fields with one label only are left out.

    ``language`` is the language of the question; where questions have relevant passages in
    another one, ``direction`` tells both (``zh -> de``).

    Args:
        collection: Queries and what is known of them.
        by: More fields; queries without the field stand under ``-``.

    Raises:
        ValueError: No query has a field of that name.
    """
    languages = query_languages(collection)
    labels: dict[str, Mapping[str, str]] = {"language": languages}
    # Documents are guessed as codes: told names ("English") cannot be compared with them.
    coded = all(len(label) == 2 for label in languages.values())
    directions = _directions(collection, languages) if coded else {}
    if any(" -> " in label for label in directions.values()):
        labels["direction"] = directions
    for name in by:
        told = {id_: collection.fields.get(id_, {}) for id_ in collection.queries}
        found = {id_: fields[name] for id_, fields in told.items() if name in fields}
        if not found and name not in labels:
            known = sorted({name for fields in told.values() for name in fields})
            raise ValueError(
                f"no query of {collection.name} has a field {name!r}; there are: "
                f"{', '.join(known) or 'none'}"
            )
        labels.setdefault(name, {id_: found.get(id_, "-") for id_ in collection.queries})
    groups: dict[str, dict[str, list[str]]] = {}
    for name, label_of in labels.items():
        members: dict[str, list[str]] = {}
        for id_ in collection.queries:
            members.setdefault(label_of[id_], []).append(id_)
        if len(members) > 1:
            groups[name] = dict(sorted(members.items()))
    return groups


def _directions(collection: Collection, languages: Mapping[str, str]) -> dict[str, str]:
    """Query to its language and, where they differ, the languages of its relevant passages."""
    relevant = {
        id_: [d for d, grade in collection.qrels.get(id_, {}).items() if grade > 0]
        for id_ in collection.queries
    }
    texts = {
        doc_id: collection.documents[doc_id]
        for doc_ids in relevant.values()
        for doc_id in doc_ids
        if doc_id in collection.documents
    }
    guess = Languages(texts.values())
    language_of = {doc_id: guess(text) for doc_id, text in texts.items()}
    directions = {}
    for id_, doc_ids in relevant.items():
        others = {language_of[doc_id] for doc_id in doc_ids if doc_id in language_of}
        same = not others or others == {languages[id_]}
        directions[id_] = (
            languages[id_] if same else f"{languages[id_]} -> {'+'.join(sorted(others))}"
        )
    return directions
