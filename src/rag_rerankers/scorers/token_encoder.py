"""Texts to the vectors that late interaction compares, one for each token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from rag_rerankers.engine import Engine, Job
from rag_rerankers.engine.limits import position_capacity
from rag_rerankers.scorers.layouts import detect_layout, read_recipe
from rag_rerankers.scorers.projection import Dense, project, read_projection
from rag_rerankers.scorers.recipe import Recipe, Side
from rag_rerankers.tokenization import TextTokenizer, TokenSequence
from rag_rerankers.weights import load_config, load_model, load_tokenizer
from rag_rerankers.windows import Passages, split_documents

__all__ = ["EncodedQuery", "TokenEncoder"]

Result = TypeVar("Result")


class EncodedQuery(NamedTuple):
    """A query's vectors.

    Attributes:
        vectors: Shape (query tokens that are compared, dim), float32, on the model's device.
        n_tokens: Tokens of the query before the cut.
        room: Tokens that fit.
    """

    vectors: torch.Tensor
    n_tokens: int
    room: int

    @property
    def n_vectors(self) -> int:
        """How many there are."""
        return len(self.vectors)


class TokenEncoder:
    """Encodes queries and documents, each by itself.

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
        self.long_documents = long_documents
        self.tokenizer = tokenizer
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
    ) -> TokenEncoder:
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

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        if self._projection:
            return len(self._projection[-1].weight)
        width: int = self.engine.model.config.hidden_size
        return width

    @property
    def room(self) -> int:
        """Tokens of a document that fit."""
        side = self.recipe.document
        return self.recipe.room(side, self._prompt_lengths[side.prompt])

    def query(self, text: str) -> EncodedQuery:
        """Encode a query."""
        ids, n_tokens, room = self.query_ids(text)
        asked = self.recipe.query_sequence(ids)
        ((_, vectors),) = self.engine.run(
            [asked], lambda _, states: self.vectors_of_query(asked, states)
        )
        return EncodedQuery(vectors, n_tokens, room)

    def query_ids(self, text: str) -> tuple[list[int], int, int]:
        """Ids with the prompt, cut to fit; the length before the cut, and what fits."""
        prompt, (ids,) = self._ids([text], self.recipe.query)
        room = self.recipe.room(self.recipe.query, len(prompt))
        return [*prompt, *ids[:room]], len(ids), room

    def n_query_vectors(self, text: str) -> int:
        """How many of a query's vectors are compared."""
        ids, _, _ = self.query_ids(text)
        skip = self.recipe.query.skip
        return sum(id_ not in skip for id_ in self.recipe.query_sequence(ids).ids)

    def split(self, texts: Sequence[str]) -> tuple[Passages, list[TokenSequence]]:
        """Documents cut, or split into windows, and what the model reads of each passage."""
        prompt, ids = self._ids(texts, self.recipe.document)
        passages = split_documents(ids, self.room, self.long_documents)
        return passages, [self.recipe.document_sequence([*prompt, *row]) for row in passages.ids]

    def located(self, text: str, side: Side) -> list[tuple[int, int] | None]:
        """Where each token of a text, uncut and without the prompt, stands in it."""
        shift = self.recipe.shift(text, side)
        _, spans = self.tokenizer.locate(self.recipe.prepare(text, side))
        return [
            # A token of the text may begin with the space behind the prompt, or be that space.
            None if span is None or span[1] <= shift else (max(0, span[0] - shift), span[1] - shift)
            for span in spans[self._prompt_lengths[side.prompt] :]
        ]

    def n_before(self, side: Side) -> int:
        """Tokens before the text's own: special ones, marker and prompt."""
        room = self.recipe.room(side, self._prompt_lengths[side.prompt])
        return side.max_length - room - len(self.recipe.after)

    def start(
        self, texts: Sequence[str], use: Callable[[torch.Tensor, list[int]], Result]
    ) -> tuple[Passages, Job[Result]]:
        """Begin to encode documents.

        Args:
            texts: At least one.
            use: Makes something of a batch, on the thread that computed it: gets the vectors of
                some passages end to end, shape (vectors, dim), float32, and how many each has.

        Returns:
            What was made of the texts; indices of passages, and what was made of each batch.
        """
        passages, sequences = self.split(texts)

        def after(indices: list[int], states: torch.Tensor) -> Result:
            batch = [sequences[index] for index in indices]
            return use(*self.vectors_of_documents(batch, states))

        return passages, self.engine.start(sequences, after)

    def documents(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """Encode documents.

        Returns:
            For each text its vectors, shape (vectors, dim), float32, on the CPU; those of its
            windows end to end.
        """
        if not texts:
            return []
        passages, job = self.start(texts, lambda vectors, lengths: vectors.cpu().split(lengths))
        found: dict[int, torch.Tensor] = {}
        with job:
            for indices, batch in job:
                found |= dict(zip(indices, batch, strict=True))
        rows: list[list[torch.Tensor]] = [[] for _ in texts]
        for index, document in enumerate(passages.document):
            rows[document].append(found[index])
        return [torch.cat(parts) for parts in rows]

    def kept(self, ids: Sequence[int], side: Side) -> list[bool]:
        """Which tokens of a sequence have a vector that is compared."""
        kept = [id_ not in side.skip for id_ in ids]
        # Without special tokens a text may be punctuation only; one vector is left to compare.
        return kept if any(kept) else [True, *kept[1:]]

    def _ids(self, texts: Sequence[str], side: Side) -> tuple[list[int], list[list[int]]]:
        """Ids of the prompt, and of each text without it.

        The prompt is tokenized together with each text, because a byte-level tokenizer joins the
        space between them to the text's first word.
        """
        rows = self.tokenizer.ids([self.recipe.prepare(text, side) for text in texts])
        n_prompt = self._prompt_lengths[side.prompt]
        return rows[0][:n_prompt], [row[n_prompt:] for row in rows]

    def vectors_of_query(self, sequence: TokenSequence, states: torch.Tensor) -> torch.Tensor:
        """From a query's hidden states, shape (tokens, width), to the vectors of it."""
        return self._vectors([sequence], states, self.recipe.query)[0]

    def vectors_of_documents(
        self, sequences: Sequence[TokenSequence], states: torch.Tensor
    ) -> tuple[torch.Tensor, list[int]]:
        """Vectors of documents, end to end, and how many each has, from their hidden states."""
        return self._vectors(sequences, states, self.recipe.document)

    def _vectors(
        self, sequences: Sequence[TokenSequence], states: torch.Tensor, side: Side
    ) -> tuple[torch.Tensor, list[int]]:
        """Vectors that are compared, end to end, and how many each sequence has."""
        lengths = [len(sequence.ids) for sequence in sequences]
        if side.skip:
            kept = [self.kept(sequence.ids, side) for sequence in sequences]
            lengths = [sum(row) for row in kept]
            flat = torch.tensor(
                [keep for row in kept for keep in row], dtype=torch.bool, device=states.device
            )
            states = states[flat]
        return project(states, self._projection, normalize=self.recipe.normalize), lengths
