"""What an evaluation runs on: documents, questions, judgments."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rag_rerankers.evaluation.problems import Problem

__all__ = ["Collection", "Qrels"]

Qrels = Mapping[str, Mapping[str, int]]
"""Query to document to grade; 0 and less is not relevant, as in trec_eval."""


@dataclass(frozen=True)
class Collection:
    """Documents, questions and judgments under one name.

    Attributes:
        name: What it is called in reports.
        documents: Document to text: the title, where there is one, and the text under it.
        queries: Query to its text: the questions that are evaluated, in order.
        qrels: Query to judged documents to grade. Empty: nothing is judged.
        given: Query to the candidates that the data itself brings, best first.
        fields: Query to what else is known of it (language, kind, ...), to report groups apart.
        problems: Mistakes that were met and left behind.

    Example:
        >>> panda = Collection(
        ...     name="panda",
        ...     documents={"d1": "The giant panda is a bear.", "d2": "Rust is a language."},
        ...     queries={"q1": "what is a panda?"},
        ...     qrels={"q1": {"d1": 1}},
        ... )
        >>> panda
        Collection('panda': 2 documents, 1 queries, 1 judgments)
    """

    name: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Qrels = field(default_factory=dict)
    given: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def __repr__(self) -> str:
        judgments = sum(map(len, self.qrels.values()))
        return (
            f"Collection({self.name!r}: {len(self.documents):,} documents, "
            f"{len(self.queries):,} queries, {judgments:,} judgments)"
        )

    def sample(self, n_queries: int, seed: int = 0) -> Collection:
        """The same with fewer queries: a random sample, the same one at every call.

        Raises:
            ValueError: ``n_queries`` is not positive.
        """
        if n_queries < 1:
            raise ValueError(f"a sample has 1 query or more, not {n_queries}")
        if n_queries >= len(self.queries):
            return self
        chosen = set(random.Random(seed).sample(list(self.queries), n_queries))
        queries = {id_: text for id_, text in self.queries.items() if id_ in chosen}
        qrels = {id_: grades for id_, grades in self.qrels.items() if id_ in chosen}
        return replace(self, queries=queries, qrels=qrels)
