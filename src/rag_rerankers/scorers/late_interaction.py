"""Late interaction: query and documents are encoded apart and compared token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from rag_rerankers.engine import Engine
from rag_rerankers.engine.limits import position_capacity
from rag_rerankers.scorers.layouts import detect_layout, read_recipe
from rag_rerankers.scorers.maxsim import maxsim
from rag_rerankers.scorers.parts import Started, score_in_parts
from rag_rerankers.scorers.projection import Dense, project, read_projection
from rag_rerankers.scorers.recipe import Recipe, Side
from rag_rerankers.tokenization import TextTokenizer, TokenSequence
from rag_rerankers.weights import load_config, load_model, load_tokenizer
from rag_rerankers.windows import split_documents, warn_if_cut

__all__ = ["LateInteractionScorer"]


class LateInteractionScorer:
    """Scores by MaxSim over token vectors, as colbert-ai does.

    The raw score is the sum over the query's vectors of the best similarity in the document; the
    relevance is the mean instead of the sum, clipped to 0..1.

    Args:
        engine: Runs the encoder.
        tokenizer: Text to ids.
        recipe: Markers, lengths, expansion, what is skipped.
        projection: Layers behind the encoder; empty for raw token vectors.
        long_documents: ``"truncate"`` or ``"max_passage"``.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: TextTokenizer,
        recipe: Recipe,
        projection: Sequence[Dense] = (),
        long_documents: str = "truncate",
    ) -> None:
        self.engine = engine
        self.recipe = recipe
        self.max_length = recipe.document.max_length
        self.long_documents = long_documents
        self._tokenizer = tokenizer
        self._projection = projection
        self._prompt_lengths = {
            side.prompt: len(tokenizer.ids([side.prompt.rstrip()])[0])
            for side in (recipe.query, recipe.document)
        }

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
    ) -> LateInteractionScorer:
        """Load a ColBERT checkpoint (Stanford, PyLate, sentence-transformers) or a plain encoder.

        Raises:
            ModelLoadError: Weights or tokens are missing.
            ValueError: ``max_length`` is more than the model can read.
        """
        from transformers import AutoModel

        config = load_config(folder)
        layout = detect_layout(folder, getattr(config, "architectures", None) or [])
        tokenizer = load_tokenizer(folder)
        int8 = dtype == torch.int8
        model = load_model(AutoModel, folder, device, torch.float32 if int8 else dtype)
        recipe = read_recipe(
            layout, folder, tokenizer, max_length=max_length, limit=position_capacity(model)
        )
        projection = read_projection(layout, folder, config.hidden_size, device)
        engine = Engine(
            model,
            tokenizer.pad_token_id or 0,
            with_logits=False,
            batch_tokens=batch_tokens,
            wrap=recipe.document_sequence,
            int8=int8,
        )
        return cls(engine, TextTokenizer(tokenizer), recipe, projection, long_documents)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One MaxSim score per text, in the order of ``texts``."""
        if not texts:
            return []
        query_ids, n_query, query_room = self._query_ids(query)
        query_vectors = self._encode_query(query_ids)
        side = self.recipe.document
        n_prompt = self._prompt_lengths[side.prompt]
        room = self.recipe.room(side, n_prompt)

        def start(part: Sequence[str]) -> Started:
            prompt, ids = self._ids(part, side)
            passages = split_documents(ids, room, self.long_documents)
            sequences = [self.recipe.document_sequence([*prompt, *row]) for row in passages.ids]

            def compare(indices: list[int], states: torch.Tensor) -> torch.Tensor:
                vectors, lengths = self._vectors([sequences[i] for i in indices], states, side)
                return maxsim(query_vectors, vectors, lengths)

            return Started(passages, self.engine.start(sequences, compare))

        scores, n_cut = score_in_parts(texts, start, self.engine.device)
        warn_if_cut(n_cut, len(texts), room, n_query, query_room)
        if self.recipe.mean:
            scores = [score / len(query_vectors) for score in scores]
        return scores

    def relevance(self, query: str, scores: Sequence[float]) -> list[float]:
        """Mean similarity over the query's vectors, clipped to 0..1."""
        n = 1 if self.recipe.mean else self._n_query_vectors(query)
        return [min(1.0, max(0.0, score / n)) for score in scores]

    def _n_query_vectors(self, query: str) -> int:
        ids, _, _ = self._query_ids(query)
        skip = self.recipe.query.skip
        return sum(id_ not in skip for id_ in self.recipe.query_sequence(ids).ids)

    def _query_ids(self, query: str) -> tuple[list[int], int, int]:
        """Ids with the prompt, cut to fit; the length before the cut, and what fits."""
        prompt, (ids,) = self._ids([query], self.recipe.query)
        room = self.recipe.room(self.recipe.query, len(prompt))
        return [*prompt, *ids[:room]], len(ids), room

    def _ids(self, texts: Sequence[str], side: Side) -> tuple[list[int], list[list[int]]]:
        """Ids of the prompt, and of each text without it.

        The prompt is tokenized together with each text, because a byte-level tokenizer joins the
        space between them to the text's first word.
        """
        rows = self._tokenizer.ids([self.recipe.prepare(text, side) for text in texts])
        n_prompt = self._prompt_lengths[side.prompt]
        return rows[0][:n_prompt], [row[n_prompt:] for row in rows]

    def _encode_query(self, ids: Sequence[int]) -> torch.Tensor:
        ((_, (vectors, _)),) = self._encode([self.recipe.query_sequence(ids)], self.recipe.query)
        return vectors

    def _encode(
        self, sequences: Sequence[TokenSequence], side: Side
    ) -> Iterator[tuple[list[int], tuple[torch.Tensor, list[int]]]]:
        """Vectors of each batch: indices; vectors end to end, how many each sequence has."""
        return self.engine.run(
            sequences,
            lambda indices, states: self._vectors([sequences[i] for i in indices], states, side),
        )

    def _vectors(
        self, sequences: Sequence[TokenSequence], states: torch.Tensor, side: Side
    ) -> tuple[torch.Tensor, list[int]]:
        """Vectors that are compared, end to end, and how many each sequence has."""
        lengths = [len(sequence.ids) for sequence in sequences]
        if side.skip:
            kept = [_kept(sequence.ids, side.skip) for sequence in sequences]
            lengths = [sum(row) for row in kept]
            flat = torch.tensor([keep for row in kept for keep in row], device=states.device)
            states = states[flat]
        return project(states, self._projection, normalize=self.recipe.normalize), lengths


def _kept(ids: Sequence[int], skip: frozenset[int]) -> list[bool]:
    kept = [id_ not in skip for id_ in ids]
    # Without special tokens a text may be punctuation only; one vector is left to compare.
    return kept if any(kept) else [True, *kept[1:]]
