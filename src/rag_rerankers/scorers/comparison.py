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
        self._parked: list[tuple[list[int], torch.Tensor, list[int]]] = []

    def start(self, texts: Sequence[str]) -> Started:
        """Begin to encode documents and to compare them."""
        passages, sequences = self._encoder.split(texts)
        query = None
        if self._vectors is None:
            query = len(sequences)
            sequences = [*sequences, self._asked]

        def compare(indices: list[int], states: torch.Tensor) -> Scores:
            if query in indices:
                pieces = list(states.split([len(sequences[index].ids) for index in indices]))
                self._see(pieces.pop(indices.index(query)))
                indices = [index for index in indices if index != query]
                states = torch.cat([states[:0], *pieces])
            batch = [sequences[index] for index in indices]
            return self._compare(indices, *self._encoder.vectors_of_documents(batch, states))

        job: Job[Scores] = self._encoder.engine.start(sequences, compare, first=query)
        return Started(passages, job)

    def _see(self, states: torch.Tensor) -> None:
        vectors = self._encoder.vectors_of_query(self._asked, states)
        with self._lock:
            self._vectors = vectors

    def _compare(self, indices: list[int], vectors: torch.Tensor, lengths: list[int]) -> Scores:
        """Scores of a batch, and of those that were there before the query."""
        with self._lock:
            self._parked.append((indices, vectors, lengths))
            if self._vectors is None:
                return [], vectors.new_empty(0)
            parked, self._parked = self._parked, []
        found = [maxsim(self._vectors, vectors, lengths) for _, vectors, lengths in parked]
        return [index for indices, _, _ in parked for index in indices], torch.cat(found)
