"""Rows of a table to scores: one text a row, or a query with a list of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rag_rerankers.distributed.models import Model
from rag_rerankers.distributed.outcomes import Failure, in_halves, message, unusable, values
from rag_rerankers.distributed.report import Tally
from rag_rerankers.metering import metered
from rag_rerankers.ranking import check_scores, relevance_of
from rag_rerankers.reranker import Reranker
from rag_rerankers.scorers.cascade import CascadeScorer

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PairColumns", "PairScorer", "PairTask"]

# They wait: the engine joins what they ask for into common forward passes.
_THREADS = 16


@dataclass(frozen=True)
class PairColumns:
    """Names of columns: two that are read, three that are written."""

    query: str
    text: str
    score: str
    relevance: str
    error: str


class Score(NamedTuple):
    """Of one text."""

    score: float
    relevance: float


class Group(NamedTuple):
    """Texts that are scored in one call.

    Attributes:
        query: What they are scored against.
        places: Where the results go.
        texts: The texts.
    """

    query: str
    places: list[int]
    texts: list[str]


class Scored(NamedTuple):
    """What became of a group."""

    results: list[Score | Failure]
    tokens: int
    cut: int


@dataclass(frozen=True)
class PairTask:
    """Scores pairs; sent to the workers.

    Attributes:
        model: Scores them.
        columns: Where they stand.
        batch_size: Rows that are scored together.
    """

    model: Model
    columns: PairColumns
    batch_size: int

    def load(self) -> PairScorer:
        """Load the model."""
        return PairScorer(self.model.load(), self.columns, self.batch_size)


class PairScorer:
    """Adds scores to tables.

    Args:
        reranker: Scores.
        columns: Where query and text stand, and where the results go.
        batch_size: Rows that are scored together.
    """

    def __init__(self, reranker: Reranker, columns: PairColumns, batch_size: int) -> None:
        self._scorer = reranker.scorer
        self._columns = columns
        self._batch_size = batch_size
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rag-rerankers-pairs")

    def __call__(self, table: pa.Table) -> tuple[pa.Table, Tally]:
        """The table with score, relevance and error of each text, and what it took."""
        import pyarrow as pa

        queries, texts = (values(table[name]) for name in (self._columns.query, self._columns.text))
        lists = pa.types.is_nested(table.schema.field(self._columns.text).type)
        cells: list[Any] = []
        tokens = cut = 0
        for first in range(0, len(queries), self._batch_size):
            rows = slice(first, first + self._batch_size)
            score = self._lists if lists else self._pairs
            found, n_tokens, n_cut = score(queries[rows], texts[rows])
            cells += found
            tokens, cut = tokens + n_tokens, cut + n_cut
        flat = [one for cell in cells for one in (cell if isinstance(cell, list) else [cell])]
        failed = sum(isinstance(one, Failure) for one in flat)
        tally = Tally(len(table), len(flat), failed, tokens, cut)
        return self._with_columns(table, cells, lists=lists), tally

    def _pairs(self, queries: Sequence[Any], texts: Sequence[Any]) -> tuple[list[Any], int, int]:
        """One text a row; those of one query are scored together."""
        cells: list[Any] = [None] * len(queries)
        groups: dict[str, Group] = {}
        for place, (query, text) in enumerate(zip(queries, texts, strict=True)):
            failure = unusable("query", query) or unusable("text", text)
            if failure is not None:
                cells[place] = failure
                continue
            group = groups.setdefault(query, Group(query, [], []))
            group.places.append(place)
            group.texts.append(text)
        return self._scored(list(groups.values()), cells)

    def _lists(self, queries: Sequence[Any], texts: Sequence[Any]) -> tuple[list[Any], int, int]:
        """A list of texts a row; each list is scored by itself, as a ranking would be."""
        rows: list[Any] = []
        flat: list[Any] = []
        groups: list[Group] = []
        for query, row in zip(queries, texts, strict=True):
            if not isinstance(row, list):
                rows.append(unusable("list of texts", row))
                continue
            wrong = unusable("query", query)
            group = Group(query, [], [])
            rows.append(range(len(flat), len(flat) + len(row)))
            for text in row:
                failure = wrong or unusable("text", text)
                if failure is None:
                    group.places.append(len(flat))
                    group.texts.append(text)
                flat.append(failure)
            groups.append(group)
        found, tokens, cut = self._scored([group for group in groups if group.texts], flat)
        cells = [[found[i] for i in row] if isinstance(row, range) else row for row in rows]
        return cells, tokens, cut

    def _scored(self, groups: list[Group], cells: list[Any]) -> tuple[list[Any], int, int]:
        tokens = cut = 0
        in_order = self._threads.map if len(groups) > 1 else map
        for group, scored in zip(groups, in_order(self._score, groups), strict=True):
            for place, result in zip(group.places, scored.results, strict=True):
                cells[place] = result
            tokens, cut = tokens + scored.tokens, cut + scored.cut
        return cells, tokens, cut

    def _score(self, group: Group) -> Scored:
        def score(texts: Sequence[str]) -> list[Score]:
            scores = check_scores(self._scorer.score(group.query, texts), len(texts))
            relevance = relevance_of(self._scorer, group.query, scores)
            return [Score(*both) for both in zip(scores, relevance, strict=True)]

        with metered() as meter:
            if isinstance(self._scorer, CascadeScorer):
                results = _all_or_none(score, group.texts)
            else:
                results = in_halves(score, group.texts)
        return Scored(results, meter.tokens, meter.cut)

    def _with_columns(self, table: pa.Table, cells: list[Any], *, lists: bool) -> pa.Table:
        import pyarrow as pa

        columns = (
            (self._columns.score, pa.float64(), "score"),
            (self._columns.relevance, pa.float64(), "relevance"),
            (self._columns.error, pa.string(), "message"),
        )
        for name, kind, part in columns:
            column: list[Any] = [
                [getattr(one, part, None) for one in cell]
                if isinstance(cell, list)
                else getattr(cell, part, None)
                for cell in cells
            ]
            if lists:
                kind = pa.list_(kind)
                # A row without a list of texts has no scores, and one error.
                column = [[cell] if isinstance(cell, str) else cell for cell in column]
            table = table.append_column(name, pa.array(column, kind))
        return table


def _all_or_none(
    score: Callable[[Sequence[str]], list[Score]], texts: Sequence[str]
) -> list[Score | Failure]:
    """For a cascade, whose scores are places in a ranking of all the texts."""
    try:
        return list(score(texts))
    except Exception as error:
        return [Failure(message(error))] * len(texts)
