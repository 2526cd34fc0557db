"""A query and documents, encoded in the same passes and compared as they come.

A pass over a query alone takes a twentieth of the time that ten documents take: its products have
too few rows, and the documents wait for it. So the query goes first among the documents. Whichever
is there later does the comparing; no thread waits for another.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch

from rag_rerankers.engine import Job
from rag_rerankers.scorers.maxsim import maxsim
from rag_rerankers.scorers.parts import Scores, Started
from rag_rerankers.scorers.token_encoder import TokenEncoder

__all__ = ["Comparison"]

_Batch = tuple[list[int], torch.Tensor, list[int]]
"""Passages, their vectors end to end, and how many each has."""


class Comparison:
    """One query, and the documents that it is compared with.

    Args:
        encoder: Makes the vectors.
        query: The question.
        parts: How many times :meth:`start` will be called. If more than once, the query is
            encoded here and now.

    Attributes:
        n_tokens: Tokens of the query before the cut.
        room: Tokens of it that fit.
        n_vectors: How many vectors of it are compared.
    """

    def __init__(self, encoder: TokenEncoder, query: str, parts: int = 1) -> None:
        ids, self.n_tokens, self.room = encoder.query_ids(query)
        self._encoder = encoder
        self._asked = encoder.recipe.query_sequence(ids)
        self.n_vectors = sum(encoder.kept(self._asked.ids, encoder.recipe.query))
        self._lock = threading.Lock()
        self._vectors = None if parts == 1 else encoder.query(query).vectors
        self._waiting: list[_Batch] = []

    def start(self, texts: Sequence[str]) -> Started:
        """Begin to encode documents and to compare them."""
        passages, sequences = self._encoder.split(texts)
        query = None
        if self._vectors is None:
            query = len(sequences)
            sequences = [*sequences, self._asked]

        def compare(indices: list[int], states: torch.Tensor) -> Scores:
            batches: list[_Batch] = []
            if query in indices:
                pieces = list(states.split([len(sequences[index].ids) for index in indices]))
                batches = self._see(pieces.pop(indices.index(query)))
                indices = [index for index in indices if index != query]
                states = torch.cat([states[:0], *pieces])
            batch = [sequences[index] for index in indices]
            own = (indices, *self._encoder.vectors_of_documents(batch, states))
            return self._scores([*batches, own]) if self._seen(own) else ([], states.new_empty(0))

        job: Job[Scores] = self._encoder.engine.start(sequences, compare, first=query)
        return Started(passages, job)

    def _see(self, states: torch.Tensor) -> list[_Batch]:
        """The query is there; returns what has waited for it.

        That stays: a batch is computed again if another caller's part of it failed.
        """
        vectors = self._encoder.vectors_of_query(self._asked, states)
        with self._lock:
            self._vectors = vectors
            return list(self._waiting)

    def _seen(self, batch: _Batch) -> bool:
        """Whether the query is there; if not, the batch waits for it."""
        with self._lock:
            if self._vectors is None:
                self._waiting.append(batch)
            return self._vectors is not None

    def _scores(self, batches: list[_Batch]) -> Scores:
        assert self._vectors is not None
        found = [maxsim(self._vectors, vectors, lengths) for _, vectors, lengths in batches]
        return [index for indices, _, _ in batches for index in indices], torch.cat(found)
