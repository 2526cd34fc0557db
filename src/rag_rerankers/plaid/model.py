"""The model behind an index: its vectors, and how to tell it from another one."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rag_rerankers.engine import Job
from rag_rerankers.errors import PlaidIndexError, ScoreError
from rag_rerankers.options import ModelOptions
from rag_rerankers.reranker import Reranker
from rag_rerankers.scorers.token_encoder import TokenEncoder
from rag_rerankers.types import Scorer
from rag_rerankers.windows import Passages, warn_if_cut

__all__ = ["Encoded", "TokenModel", "name_of"]

# Texts that are tokenized and computed together; two such parts are under way at a time.
_TEXTS = 256
_AHEAD = 1
# Two models of one family agree less than this; one model in float32 and in int8, more.
_SAME = 0.95
# One word each: they are whole even for a model that is told to read five tokens.
_PROBES = ("panda", "paris", "green", "seven", "42")


class Encoded(NamedTuple):
    """Vectors of texts.

    Attributes:
        vectors: Shape (vectors of all texts, dim), float16, on the CPU, of unit length.
        lengths: How many each text has.
    """

    vectors: torch.Tensor
    lengths: list[int]


class TokenModel:
    """A late-interaction model as an index uses it.

    Args:
        model: What :class:`~rag_rerankers.Reranker` takes, or a ready one.
        **options: Those of the reranker; a ready one refuses them.

    Attributes:
        reranker: Ranks the candidates of a search.
        encoder: Makes the vectors.

    Raises:
        ModelLoadError: The model cannot be found or is not a reranker.
        ValueError: It is not a late-interaction model.
    """

    def __init__(self, model: str | os.PathLike[str] | Scorer | Reranker, **options: Any) -> None:
        if isinstance(model, Reranker):
            ModelOptions(**options).refuse_unless_default(model)
        self.reranker = model if isinstance(model, Reranker) else Reranker(model, **options)
        encoder = _encoder_of(self.reranker)
        if encoder is None:
            raise ValueError(
                f"{self.reranker!r} is not a late-interaction model, and PLAID compares vectors of "
                'tokens: take "colbertv2", "answerai-colbert-small" or "minilm-maxsim". To rank '
                "the hits by another model, search first and give their texts to its Reranker"
            )
        self.encoder = encoder

    def query(self, text: str) -> torch.Tensor:
        """A query's vectors; shape (query vectors, dim), float32, on the CPU, of unit length."""
        return torch.nn.functional.normalize(self.encoder.query(text).vectors.cpu().float())

    def documents(
        self, texts: Sequence[str], done: Callable[[int], object] = lambda n_texts: None
    ) -> Encoded:
        """Encode texts; warns once of those that were cut.

        Args:
            texts: At least one.
            done: Told now and then how many more texts are encoded.

        Raises:
            ScoreError: A vector is not a number.
        """
        encoded, n_cut = self._encode(texts, done)
        warn_if_cut(n_cut, len(texts), self.encoder.room, 0, 0)
        return encoded

    def _encode(
        self, texts: Sequence[str], done: Callable[[int], object] = lambda n_texts: None
    ) -> tuple[Encoded, int]:
        vectors: list[torch.Tensor] = []
        lengths: list[int] = []
        n_cut = 0
        started: deque[tuple[Passages, Job[tuple[torch.Tensor, ...]]]] = deque()

        def finish() -> None:
            passages, job = started.popleft()
            for part in _by_text(passages, job):
                vectors.append(part)
                lengths.append(len(part))
            done(passages.n_documents)

        try:
            for first in range(0, len(texts), _TEXTS):
                started.append(self.encoder.start(texts[first : first + _TEXTS], _unit_vectors))
                n_cut += started[-1][0].n_cut
                if len(started) > _AHEAD:
                    finish()
            while started:
                finish()
        finally:
            for _, job in started:
                job.close()
        encoded = Encoded(torch.cat(vectors), lengths)
        if not bool(torch.isfinite(encoded.vectors).all()):
            raise ScoreError(
                "the model returned vectors that are not numbers. A half-precision model may have "
                "overflowed: try dtype='float32'"
            )
        return encoded, n_cut

    def recipe(self) -> str:
        """A digest of markers, prompts and what is skipped; lengths are left out."""
        recipe = self.encoder.recipe
        sides = [
            (side.marker, side.prompt, sorted(side.skip))
            for side in (recipe.query, recipe.document)
        ]
        parts = (sides, recipe.before, recipe.after, recipe.expand_to, recipe.expand)
        more = (recipe.expansion, recipe.attend_expansion, recipe.strip, recipe.mean)
        return hashlib.sha256(repr((parts, more)).encode()).hexdigest()

    def probe(self) -> torch.Tensor:
        """Vectors of fixed texts, read as documents; shape (vectors, dim), float16."""
        encoded, _ = self._encode(_PROBES)
        return encoded.vectors

    def refuse_other(self, recipe: str, probe: torch.Tensor, path: Path, name: str) -> None:
        """Refuse an index that another model made.

        Vectors are compared, not bytes of weights, so that the same model may come in another
        precision or from another folder.

        Args:
            recipe: :meth:`recipe` of the model that made the index.
            probe: Its :meth:`probe`.
            path: Where the index is, for the message.
            name: What its model was called, for the message.

        Raises:
            PlaidIndexError: The models differ.
        """
        own = self.probe()
        alike = (
            float((own.float() * probe.float()).sum(1).mean()) if own.shape == probe.shape else 0.0
        )
        if recipe != self.recipe() or alike < _SAME:
            raise PlaidIndexError(
                f"the index in {path} was built with {name!r}, and {self.reranker!r} is another "
                f"model (their vectors agree to {alike:.2f}, not {_SAME}): open it with its own, "
                "or build an index anew"
            )


def name_of(reranker: Reranker) -> str | None:
    """What loads the model again: a name or an absolute folder; None for a scorer of one's own."""
    if not isinstance(reranker.model, (str, os.PathLike)):
        return None
    name = os.fspath(reranker.model)
    folder = Path(name).expanduser()
    return str(folder.absolute()) if folder.is_dir() else name


def _encoder_of(reranker: Reranker) -> TokenEncoder | None:
    encoder = getattr(reranker.scorer, "encoder", None)
    return encoder if isinstance(encoder, TokenEncoder) else None


def _unit_vectors(vectors: torch.Tensor, lengths: list[int]) -> tuple[torch.Tensor, ...]:
    unit = torch.nn.functional.normalize(vectors.float()).half().cpu()
    parts: tuple[torch.Tensor, ...] = unit.split(lengths)
    return parts


def _by_text(passages: Passages, job: Job[tuple[torch.Tensor, ...]]) -> list[torch.Tensor]:
    found: dict[int, torch.Tensor] = {}
    with job:
        for indices, batch in job:
            found |= dict(zip(indices, batch, strict=True))
    rows: list[list[torch.Tensor]] = [[] for _ in range(passages.n_documents)]
    for index, document in enumerate(passages.document):
        rows[document].append(found[index])
    return [torch.cat(parts) for parts in rows]
