"""Rows of a table to the token vectors of their texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rag_rerankers.distributed.models import Model
from rag_rerankers.distributed.outcomes import Failure, in_halves, unusable, values
from rag_rerankers.distributed.report import Tally
from rag_rerankers.metering import count, metered

if TYPE_CHECKING:
    import pyarrow as pa

    from rag_rerankers.scorers.token_encoder import TokenEncoder

__all__ = ["DTYPES", "TextEncoder", "VectorColumns", "VectorTask"]

DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class VectorColumns:
    """Names of columns: one that is read, three that are written."""

    text: str
    vectors: str
    passages: str
    error: str


class Vectors(NamedTuple):
    """Of one text.

    Attributes:
        flat: Shape (vectors, dim).
        passages: How many belong to each window of the text: one number unless it was split.
    """

    flat: np.ndarray[Any, Any]
    passages: list[int]


@dataclass(frozen=True)
class VectorTask:
    """Encodes texts; sent to the workers.

    Attributes:
        model: Encodes them.
        columns: Where they stand.
        dtype: Of the numbers that are written.
        batch_size: Rows that are encoded together.
    """

    model: Model
    columns: VectorColumns
    dtype: str
    batch_size: int

    def load(self) -> TextEncoder:
        """Load the model.

        Raises:
            ValueError: It has no token vectors.
        """
        from rag_rerankers.scorers.late_interaction import LateInteractionScorer

        reranker = self.model.load()
        if not isinstance(reranker.scorer, LateInteractionScorer):
            raise ValueError(  # noqa: TRY004 -- the model is of another kind, not the argument
                f"{reranker.name!r} has no vectors of texts: only late-interaction models "
                "(colbertv2, minilm-maxsim, ...) encode texts by themselves"
            )
        return TextEncoder(reranker.scorer.encoder, self.columns, self.dtype, self.batch_size)


class TextEncoder:
    """Adds token vectors to tables.

    Args:
        encoder: Makes them.
        columns: Where texts stand, and where the vectors go.
        dtype: Of the numbers that are written.
        batch_size: Rows that are encoded together.
    """

    def __init__(
        self, encoder: TokenEncoder, columns: VectorColumns, dtype: str, batch_size: int
    ) -> None:
        self._encoder = encoder
        self._columns = columns
        self._dtype = dtype
        self._batch_size = batch_size

    def __call__(self, table: pa.Table) -> tuple[pa.Table, Tally]:
        """The table with vectors, passages and error of each text, and what it took."""
        texts = values(table[self._columns.text])
        cells: list[Any] = [unusable("text", text) for text in texts]
        good = [row for row, failure in enumerate(cells) if failure is None]
        with metered() as meter:
            for first in range(0, len(good), self._batch_size):
                rows = good[first : first + self._batch_size]
                made = in_halves(self._encode, [texts[row] for row in rows])
                for row, cell in zip(rows, made, strict=True):
                    cells[row] = cell
        failed = sum(isinstance(cell, Failure) for cell in cells)
        tally = Tally(len(table), len(texts), failed, meter.tokens, meter.cut)
        return self._with_columns(table, cells), tally

    def _encode(self, texts: Sequence[str]) -> list[Vectors]:
        passages, job = self._encoder.start(
            texts, lambda vectors, lengths: (vectors.cpu().numpy(), lengths)
        )
        found: dict[int, np.ndarray[Any, Any]] = {}
        with job:
            for indices, (flat, lengths) in job:
                ends = np.cumsum(lengths)[:-1]
                found |= zip(indices, np.split(flat, ends), strict=True)
        rows: list[list[np.ndarray[Any, Any]]] = [[] for _ in texts]
        for index, text in enumerate(passages.document):
            rows[text].append(found[index])
        made = [
            Vectors(np.concatenate(parts).astype(self._dtype), [len(part) for part in parts])
            for parts in rows
        ]
        bad = sum(not np.isfinite(one.flat).all() for one in made)
        if bad:
            raise ValueError(f"{bad} of {len(made)} texts have vectors that are not finite numbers")
        count(cut=passages.n_cut)
        return made

    def _with_columns(self, table: pa.Table, cells: Sequence[Vectors | Failure]) -> pa.Table:
        import pyarrow as pa

        good = [cell for cell in cells if isinstance(cell, Vectors)]
        dim = self._encoder.dim
        flat = np.concatenate([one.flat for one in good]) if good else np.empty((0, dim))
        numbers = pa.array(flat.astype(self._dtype).reshape(-1))
        vectors = pa.ListArray.from_arrays(
            _offsets(cells), pa.FixedSizeListArray.from_arrays(numbers, dim)
        )
        passages = [cell.passages if isinstance(cell, Vectors) else None for cell in cells]
        errors = [cell.message if isinstance(cell, Failure) else None for cell in cells]
        return (
            table.append_column(self._columns.vectors, vectors)
            .append_column(self._columns.passages, pa.array(passages, pa.list_(pa.int32())))
            .append_column(self._columns.error, pa.array(errors, pa.string()))
        )


def _offsets(cells: Sequence[Vectors | Failure]) -> pa.Array:
    """Where each row's vectors begin; null for a row that has none."""
    import pyarrow as pa

    offsets: list[int | None] = []
    at = 0
    for cell in cells:
        if isinstance(cell, Vectors):
            offsets.append(at)
            at += len(cell.flat)
        else:
            offsets.append(None)
    return pa.array([*offsets, at], pa.int32())
