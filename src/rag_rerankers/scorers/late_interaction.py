"""Late interaction: query and documents are encoded apart and compared token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from rag_rerankers.engine import Engine
from rag_rerankers.explanation import Explanation
from rag_rerankers.scorers.comparison import Comparison
from rag_rerankers.scorers.explaining import best_passage, match, query_tokens, with_skipped
from rag_rerankers.scorers.fingerprint import fingerprint
from rag_rerankers.scorers.parts import number_of_parts, score_in_parts
from rag_rerankers.scorers.recipe import Recipe
from rag_rerankers.scorers.stored import StoredDocuments
from rag_rerankers.scorers.token_encoder import EncodedQuery, TokenEncoder
from rag_rerankers.store import TokenStore, Warmed
from rag_rerankers.windows import warn_if_cut

__all__ = ["LateInteractionScorer"]


class LateInteractionScorer:
    """Scores by MaxSim over token vectors, as colbert-ai does.

    The raw score is the sum over the query's vectors of the best similarity in the document; the
    relevance is the mean instead of the sum, clipped to 0..1.

    Args:
        encoder: Makes the vectors.
        stored: Keeps those of documents; None encodes them at every call.
    """

    def __init__(self, encoder: TokenEncoder, stored: StoredDocuments | None = None) -> None:
        self.encoder = encoder
        self.stored = stored
        self.max_length = encoder.recipe.document.max_length
        self.long_documents = encoder.long_documents

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: torch.device,
        dtype: torch.dtype,
        max_length: int | None = None,
        long_documents: str = "truncate",
        batch_tokens: int | None = None,
        store: TokenStore | None = None,
        name: str = "",
    ) -> LateInteractionScorer:
        """Load a ColBERT checkpoint (Stanford, PyLate, sentence-transformers) or a plain encoder.

        Args:
            folder: The model's files.
            device: Where it runs.
            dtype: What is multiplied.
            max_length: Tokens of a document; None for the model's own.
            long_documents: ``"truncate"`` or ``"max_passage"``.
            batch_tokens: Tokens per forward pass; None for the device's default.
            store: Keeps the documents' vectors.
            name: What the store calls the model.

        Raises:
            ModelLoadError: Weights or tokens are missing.
            StoreError: The store cannot be used.
            ValueError: ``max_length`` is more than the model can read.
        """
        encoder = TokenEncoder.load(
            folder,
            device=device,
            dtype=dtype,
            max_length=max_length,
            long_documents=long_documents,
            batch_tokens=batch_tokens,
        )
        if store is None:
            return cls(encoder)
        made_of = fingerprint(folder, encoder.recipe, dtype, long_documents)
        return cls(encoder, StoredDocuments(encoder, store, made_of, name or folder.name))

    @property
    def engine(self) -> Engine:
        """What runs the encoder."""
        return self.encoder.engine

    @property
    def recipe(self) -> Recipe:
        """Markers, lengths, expansion, what is skipped."""
        return self.encoder.recipe

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One MaxSim score per text, in the order of ``texts``."""
        if not texts:
            return []
        asked: Comparison | EncodedQuery
        if self.stored is None:
            device = self.engine.device
            asked = Comparison(self.encoder, query, number_of_parts(texts, device))
            scores, n_cut = score_in_parts(texts, asked.start, device)
        else:
            asked = self.encoder.query(query)
            scores, n_cut = self.stored.score(asked.vectors, texts)
        warn_if_cut(n_cut, len(texts), self.encoder.room, asked.n_tokens, asked.room)
        return [score / asked.n_vectors for score in scores] if self.recipe.mean else scores

    def warm(self, texts: Iterable[str], tell: Callable[[int], object]) -> Warmed:
        """Put texts into the store; see :meth:`rag_rerankers.Reranker.warm`."""
        if self.stored is None:
            raise ValueError(
                "there is no store to warm: make the Reranker with store='some/folder'"
            )
        return self.stored.warm(texts, tell)

    def relevance(self, query: str, scores: Sequence[float]) -> list[float]:
        """Mean similarity over the query's vectors, clipped to 0..1."""
        n = 1 if self.recipe.mean else max(1, self.encoder.n_query_vectors(query))
        return [min(1.0, max(0.0, score / n)) for score in scores]

    def explain(self, query: str, text: str) -> Explanation:
        """Which token of the text each token of the query matched, and how strongly."""
        asked = self.encoder.query(query)
        best = best_passage(self.encoder, asked, text)
        warn_if_cut(best.n_cut, 1, self.encoder.room, asked.n_tokens, asked.room)
        score = best.score / len(asked.vectors) if self.recipe.mean else best.score
        similarities = with_skipped(best.similarities, best.tokens)
        return Explanation(
            query=query,
            text=text,
            score=score,
            relevance=self.relevance(query, [score])[0],
            mean=self.recipe.mean,
            matches=match(query_tokens(self.encoder, query), best.tokens, similarities),
            tokens=tuple(best.tokens),
            similarities=similarities,
        )
