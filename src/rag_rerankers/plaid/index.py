"""The index: built, searched, changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rag_rerankers.errors import PlaidIndexError
from rag_rerankers.inputs import check_query
from rag_rerankers.options import ModelOptions
from rag_rerankers.plaid.catalogue import check_ids, check_passages
from rag_rerankers.plaid.colbert_ai import load
from rag_rerankers.plaid.folder import Folder
from rag_rerankers.plaid.hits import PlaidHit
from rag_rerankers.ranking import relevance_of
from rag_rerankers.reranker import Reranker
from rag_rerankers.sharing import shared_reranker
from rag_rerankers.types import Scorer
from rag_rerankers.workers import in_worker

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from rag_rerankers.plaid.generation import Generation
    from rag_rerankers.plaid.model import TokenModel

__all__ = ["PlaidIndex", "check_index", "check_search"]

_NBITS = (1, 2, 4)
# Options that decide what is read; the others depend on the machine.
_REMEMBERED = ("max_length", "revision", "long_documents")
# Candidates for the exact score: as many for each hit, and never fewer than.
_FOR_EACH_HIT = 4
_CANDIDATES = 50


class PlaidIndex:
    """Finds the passages of a whole collection that answer a query: PLAID, then exact MaxSim.

    PLAID, by colbert-ai, keeps of every token's vector the nearest centroid and a few bits, and
    finds candidates without looking at the rest of the collection; the reranker then reads the
    candidates' texts and scores them exactly.

    Made by :meth:`build` or :meth:`open`. Held in memory; what changes it writes to disk first. One
    instance may be shared by any number of threads and asyncio tasks, to search and to change, and
    several processes may have one folder open: changes wait for each other, and a search sees
    another process's changes after :meth:`refresh`.

    Attributes:
        path: Its folder.
        reranker: The model; its ``rank`` scores the candidates.

    Example:
        .. code-block:: python

            index = PlaidIndex.build("pandas.plaid", ["a", "b"], texts, "minilm-maxsim")
            index.search("what do pandas eat?", k=1)[0].id
    """

    def __init__(self, folder: Folder, model: TokenModel, generation: Generation) -> None:
        self._folder = folder
        self._model = model
        self._generation = generation
        self.path = folder.path
        self.reranker = model.reranker

    @classmethod
    def build(
        cls,
        path: str | os.PathLike[str],
        ids: Iterable[str],
        texts: Iterable[str],
        model: str | os.PathLike[str] | Scorer | Reranker = "colbertv2",
        *,
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        nbits: int = 2,
        overwrite: bool = False,
        show_progress: bool = False,
        **options: Any,
    ) -> Self:
        """Build an index of a collection.

        Args:
            path: A folder of its own; made if need be. While the index is built, and if that
                fails, an index that was there stays what it was.
            ids: One for each text; unique.
            texts: The passages, at least one; what the model cannot read of a long one is not
                found, and a warning says so.
            model: A late-interaction model: an alias, a hub id, a folder, a scorer, or a ready
                :class:`~rag_rerankers.Reranker`.
            metadatas: What each hit is to bring along; stored as JSON.
            nbits: Bits that are kept of each number: 1, 2 or 4.
            overwrite: Whether an index that is there may be replaced.
            show_progress: Whether a bar on stderr shows the passages that are encoded.
            **options: How to load the model, as for :class:`~rag_rerankers.Reranker`.

        Raises:
            MissingExtraError: The extra ``plaid`` is not installed.
            FileExistsError: There is an index, and ``overwrite`` is not set.
            PlaidIndexError: The folder holds something else.
            ModelLoadError: The model cannot be loaded.
            TypeError, ValueError: An argument of the wrong kind, a double id, no passage at all, or
                a model that is not late interaction.
        """
        passages = check_passages(ids, texts, metadatas)
        if not passages:
            raise ValueError("there is no passage to learn centroids from: give at least one")
        if isinstance(nbits, bool) or nbits not in _NBITS:
            raise ValueError(f"nbits must be 1, 2 or 4, not {nbits!r}")
        load()
        from rag_rerankers.plaid.generation import Record, newest
        from rag_rerankers.plaid.model import TokenModel, name_of
        from rag_rerankers.plaid.writing import write_anew

        folder = Folder(path)
        folder.refuse_foreign()
        _refuse_existing(folder, overwrite=overwrite)
        made = TokenModel(model, **options)
        probe = made.probe()
        dim = probe.shape[1]
        record = Record(
            model=name_of(made.reranker),
            shown=made.reranker.name,
            options={name: getattr(made.reranker.options, name) for name in _REMEMBERED},
            recipe=made.recipe(),
            dim=dim,
            stored_dim=dim + -dim % (8 * nbits),
            nbits=nbits,
        )
        with folder.changing():
            _refuse_existing(folder, overwrite=overwrite)
            with folder.next_generation() as target:
                write_anew(target, record, probe, passages, made, show_progress=show_progress)
            return cls(folder, made, newest(folder))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        model: str | os.PathLike[str] | Scorer | Reranker | None = None,
        **options: Any,
    ) -> Self:
        """Open an index.

        Args:
            path: Its folder.
            model: The model that it was built with, by any name, or ready. None: by the name that
                it had, with the same ``max_length``, ``revision`` and ``long_documents``; loaded
                once per process.
            **options: How to load the model, as for :class:`~rag_rerankers.Reranker`.

        Raises:
            MissingExtraError: The extra ``plaid`` is not installed.
            PlaidIndexError: The folder holds no finished index, a damaged one, or one of another
                model.
            ModelLoadError: The model cannot be loaded.
        """
        load()
        from rag_rerankers.plaid.generation import newest
        from rag_rerankers.plaid.model import TokenModel

        folder = Folder(path)
        generation = newest(folder)
        record = generation.record
        if model is None:
            if record.model is None:
                raise PlaidIndexError(
                    f"the index in {folder.path} was built with a scorer of your own "
                    f"({record.shown}), which has no name to load it by: give it as model="
                )
            chosen = ModelOptions(**{**record.options, **options})
            made = TokenModel(shared_reranker(record.model, chosen))
        else:
            made = TokenModel(model, **options)
        made.refuse_other(record.recipe, generation.probe, folder.path, record.shown)
        return cls(folder, made, generation)

    def search(self, query: str, k: int = 10, *, exact: bool = True) -> list[PlaidHit]:
        """Find the passages that answer a query best.

        Args:
            query: The question.
            k: How many hits; at least 1. There are fewer only where the index has fewer passages.
            exact: Whether the reranker reads the candidates, of which there are four for each hit
                and 50 at least: then scores are those of ``Reranker.rank``. Otherwise they are
                estimated from the compressed vectors, which takes a fraction of the time.

        Returns:
            Hits from best to worst.

        Raises:
            ValueError: ``query`` is None, or ``k`` is less than 1.
            TypeError: ``query`` is not a string, or ``k`` not an int.
        """
        check_query(query)
        check_search(k, exact)
        generation = self._generation
        wanted = max(_FOR_EACH_HIT * k, _CANDIDATES) if exact else k
        asked = self._model.query(query)
        positions, scores = generation.searching.search(asked, wanted)
        found = [generation.catalogue.passages[position] for position in positions]
        if exact:
            ranked = self.reranker.rank(query, [passage.text for passage in found], top_n=k)
            return [found[hit.index].hit(hit.score, hit.relevance) for hit in ranked]
        if self._model.encoder.recipe.mean:
            scores = [score / len(asked) for score in scores]
        relevance = relevance_of(self.reranker.scorer, query, scores)
        return [
            passage.hit(score, value)
            for passage, score, value in zip(found, scores, relevance, strict=True)
        ]

    async def asearch(self, query: str, k: int = 10, *, exact: bool = True) -> list[PlaidHit]:
        """:meth:`search` for asyncio: the event loop stays free.

        When the awaiting task is cancelled, the work stops after the batch in progress.
        """
        check_query(query)
        check_search(k, exact)
        return await in_worker(lambda: self.search(query, k, exact=exact))

    def add(
        self,
        ids: Iterable[str],
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Add passages. When this returns they are on disk; if it fails, nothing has changed.

        Only the new ones are encoded, and told apart by the centroids that there are. Once the
        collection has outgrown these (sixteen times the vectors, or fewer where there were almost
        none), all texts are encoded again for new ones.

        Args:
            ids: One for each text; not in the index yet.
            texts: The passages.
            metadatas: As for :meth:`build`.

        Raises:
            ValueError: An id is there already or comes twice.
            TypeError: An argument of the wrong kind.
            PlaidIndexError: The index was damaged, or rebuilt with another model, meanwhile.
        """
        passages = check_passages(ids, texts, metadatas)
        if not passages:
            return
        from rag_rerankers.plaid.writing import write_added

        # What can be told without the lock is told before the work.
        self._generation.catalogue.refuse_known(passage.id for passage in passages)
        encoded = self._model.documents([passage.text for passage in passages])
        self._change(lambda target, old: write_added(target, old, passages, encoded, self._model))

    def delete(self, ids: Iterable[str]) -> None:
        """Delete passages. When this returns they are gone for good, from later searches too.

        Their vectors stay until a third of all are of no use; then :meth:`compact` is called.

        Raises:
            ValueError: An id is unknown; then nothing is deleted.
            TypeError: An id is not a string.
        """
        checked = check_ids(ids)
        if not checked:
            return
        from rag_rerankers.plaid.writing import write_deleted

        self._change(lambda target, old: write_deleted(target, old, checked))

    def compact(self) -> None:
        """Drop the vectors and texts of deleted passages from disk and memory."""
        from rag_rerankers.plaid.writing import write_compact

        self._change(write_compact)

    def refresh(self) -> None:
        """See what other processes changed.

        Raises:
            PlaidIndexError: The index is gone, damaged, or was rebuilt with another model.
        """
        self._current()

    @property
    def ids(self) -> list[str]:
        """Ids of all passages, in the order in which they came."""
        return self._generation.catalogue.ids

    def __len__(self) -> int:
        """How many passages there are."""
        return len(self._generation.catalogue)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {len(self)} passages, {self.reranker!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Neither vectors nor weights are copied: the other side opens the same folder.
        return type(self).open, (self.path, self.reranker)

    def _change(self, write: Callable[[Path, Generation], None]) -> None:
        from rag_rerankers.plaid.generation import newest

        with self._folder.changing():
            old = self._current()
            with self._folder.next_generation() as target:
                write(target, old)
            self._generation = newest(self._folder)

    def _current(self) -> Generation:
        """The newest generation, read if another process wrote it."""
        from rag_rerankers.plaid.generation import newest

        if self._folder.newest() != self._generation.folder:
            generation = newest(self._folder)
            record = generation.record
            self._model.refuse_other(record.recipe, generation.probe, self.path, record.shown)
            self._generation = generation
        return self._generation


def _refuse_existing(folder: Folder, *, overwrite: bool) -> None:
    if not overwrite and folder.newest() is not None:
        raise FileExistsError(
            f"{folder.path} holds an index: open it with PlaidIndex.open and add() to it, or pass "
            "overwrite=True to replace it"
        )


def check_search(k: object, exact: object) -> None:
    """Refuse a ``k`` that is not a whole number of at least 1, and an ``exact`` that is no bool.

    Raises:
        TypeError: One of them is of another type.
        ValueError: ``k`` is less than 1.
    """
    if isinstance(k, bool) or not isinstance(k, int):
        raise TypeError(f"k must be an int, not {k!r}")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if not isinstance(exact, bool):
        raise TypeError(f"exact must be a bool, not {exact!r}")


def check_index(index: object) -> None:
    """Refuse what is neither an index nor a path.

    Raises:
        TypeError: So it is.
    """
    if not isinstance(index, (str, os.PathLike, PlaidIndex)):
        raise TypeError(f"index must be a PlaidIndex or the folder of one, not {index!r:.100}")
