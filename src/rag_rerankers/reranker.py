"""The one place where the stages meet: texts in, ranked documents out."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rag_rerankers.callsite import place_of_caller
from rag_rerankers.errors import RerankError, RerankSkippedWarning
from rag_rerankers.inputs import check_each_text, check_query, check_text, check_texts
from rag_rerankers.metering import note_failure
from rag_rerankers.options import ModelOptions
from rag_rerankers.ranking import (
    calibration_of,
    check_scores,
    check_threshold,
    check_top_n,
    order,
)
from rag_rerankers.remote.endpoint import is_url, shown
from rag_rerankers.scorers.cascade import DEFAULT_KEEP, CascadeScorer, check_keep
from rag_rerankers.scorers.explainable import why_not_explained
from rag_rerankers.types import (
    AsyncScorer,
    ExplainingScorer,
    RankedDocument,
    Scorer,
    WarmableScorer,
)
from rag_rerankers.workers import in_worker

if TYPE_CHECKING:
    from typing_extensions import Self

    from rag_rerankers.explanation import Explanation
    from rag_rerankers.store import TokenStore, Warmed

__all__ = ["Reranker", "check_query", "check_texts"]

DEFAULT_MODEL = "minilm-maxsim"


class Reranker:
    """Ranks texts by how well they answer a query.

    One instance may be shared by any number of threads and asyncio tasks.

    Args:
        model: An alias (``rag-rerankers models`` lists them), a hub id, a local folder, the URL of
            a server (``"http://host:8080"``, see :class:`~rag_rerankers.RemoteScorer`), or any
            object with a ``score`` method (:class:`~rag_rerankers.Scorer`).
        device: ``"auto"`` (CUDA if there is one, else CPU), or what ``torch.device`` takes.
            Apple's MPS is used only on request.
        dtype: ``"auto"`` (int8 on an x86 CPU, half precision on CUDA), ``"float32"``,
            ``"bfloat16"``, ``"float16"``, or ``"int8"`` (on the CPU). ``"float32"`` gives the
            reference implementations' scores to 1e-4.
        max_length: Tokens that the model reads, query and specials included (cross-encoders) or
            per document (late interaction). None: the model's own default.
        revision: Branch, tag or commit on the hub. None: the alias's, or ``main``.
        long_documents: ``"truncate"`` cuts what is too long, as the reference implementations
            do, and warns; ``"max_passage"`` scores overlapping windows and keeps the best.
        batch_tokens: Tokens per forward pass. None: chosen for the device.
        local_files_only: Never ask the hub; ``HF_HUB_OFFLINE=1`` does the same.
        store: For late interaction: a folder in which the vectors of texts are kept, so that each
            text is encoded once for all queries, processes and restarts; or a
            :class:`~rag_rerankers.TokenStore` with settings of its own.
        on_failure: What happens when scoring fails with a :class:`~rag_rerankers.RerankError`.
            ``"raise"``: the error is raised. ``"keep_order"``: the texts come back in their given
            order, cut to ``top_n``, with NaN for score and relevance (``hit.scored`` is False), and
            a :class:`~rag_rerankers.RerankSkippedWarning` tells the reason; a ``threshold`` has
            nothing to cut by, and is not applied.
        api_key: For a URL: sent as a bearer token. None: ``RAG_RERANKERS_API_KEY``, if it is set.
        timeout: For a URL: seconds for a whole call, retries included. None: 60.

    Attributes:
        name: The model's name (of a URL without its password), or the class of a given scorer.
        model: The model as it was given; of a cascade, the rerankers that are its stages.
        options: How it was to be loaded; of a cascade, those of its stages count.
        scorer: What scores.

    Raises:
        ModelLoadError: The model cannot be found or is not a reranker.
        StoreError: The store is damaged, foreign, or cannot be opened.
        TypeError, ValueError: An argument of the wrong kind.

    Example:
        >>> class Length:
        ...     def score(self, query, texts):
        ...         return [float(len(text)) for text in texts]
        >>> reranker = Reranker(Length())
        >>> [hit.text for hit in reranker.rank("any", ["a", "ccc", "bb"], top_n=2)]
        ['ccc', 'bb']
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Scorer = DEFAULT_MODEL,
        *,
        device: str = "auto",
        dtype: str = "auto",
        max_length: int | None = None,
        revision: str | None = None,
        long_documents: str = "truncate",
        batch_tokens: int | None = None,
        local_files_only: bool = False,
        store: str | os.PathLike[str] | TokenStore | None = None,
        on_failure: str = "raise",
        api_key: str | None = None,
        timeout: float | None = None,
    ) -> None:
        options = ModelOptions(
            device=device,
            dtype=dtype,
            max_length=max_length,
            revision=revision,
            long_documents=long_documents,
            batch_tokens=batch_tokens,
            local_files_only=local_files_only,
            store=store,
            on_failure=on_failure,
            api_key=api_key,
            timeout=timeout,
        )
        if isinstance(model, (str, os.PathLike)):
            from rag_rerankers.scorers import load_scorer

            name = os.fspath(model)
            self.name = shown(name)
            self.scorer: Scorer = load_scorer(name, options)
        elif isinstance(model, Scorer) and not isinstance(model, type):
            options.refuse_unless_default(model, allowed=("on_failure",))
            self.name = type(model).__name__
            self.scorer = model
        else:
            raise TypeError(
                f"model must be a name, a folder or an object with a score method, not {model!r}"
            )
        self.options = options
        self.model: str | os.PathLike[str] | Scorer | tuple[Reranker, ...] = model

    @classmethod
    def cascade(
        cls,
        models: Iterable[str | os.PathLike[str] | Scorer | Reranker],
        *,
        keep: int | Sequence[int] = DEFAULT_KEEP,
        **options: Any,
    ) -> Self:
        """A cheap model reads all texts, a strong one the best ``keep`` of them.

        What the strong model read comes first, with its own scores and relevance; the others
        follow in the order of the cheap one. :class:`~rag_rerankers.CascadeScorer` tells what
        their scores and relevance mean. Each model warns of the texts that it cut itself.

        Args:
            models: Two or more, the cheapest first: what :class:`Reranker` takes, or a ready
                Reranker, which may have options of its own and may be shared.
            keep: How many texts go on; for more than two models one number for each step.
            **options: As for :class:`Reranker`, for every model that can take them; a ready one
                refuses them. ``on_failure`` is that of the cascade: when one stage fails, the
                whole ranking has.

        Returns:
            A reranker like any other. Its name reads ``"colbertv2 > bge-reranker-v2-m3 (15)"``.

        Raises:
            ModelLoadError: A model cannot be found or is not a reranker.
            TypeError, ValueError: Fewer than two models, ``keep`` out of range, a wrong option.

        Example:
            >>> class Length:
            ...     def score(self, query, texts):
            ...         return [float(len(text)) for text in texts]
            >>> class Capitals:
            ...     def score(self, query, texts):
            ...         return [float(sum(map(str.isupper, text))) for text in texts]
            >>> reranker = Reranker.cascade([Length(), Capitals()], keep=2)
            >>> [hit.text for hit in reranker.rank("any", ["A", "bbb", "CCcc", ""])]
            ['CCcc', 'bbb', 'A', '']
            >>> reranker
            Reranker('Length > Capitals (2)')
        """
        if isinstance(models, (str, bytes)) or not isinstance(models, Iterable):
            raise TypeError(f"models must be a list, the cheapest first, not {models!r:.100}")
        models = list(models)
        numbers = check_keep(keep, len(models))  # before anything is loaded
        chosen = ModelOptions(**options)
        _check_options(models, chosen)
        stages = tuple(_stage(model, chosen) for model in models)
        return cls._cascade(stages, numbers, chosen.on_failure)

    @classmethod
    def _cascade(cls, stages: tuple[Reranker, ...], keep: Sequence[int], on_failure: str) -> Self:
        scorer = CascadeScorer([stage.scorer for stage in stages], keep)
        reranker = cls(scorer, on_failure=on_failure)
        names = " > ".join(stage.name for stage in stages)
        reranker.name = f"{names} ({', '.join(map(str, keep))})"
        reranker.model = stages
        return reranker

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Weights are not copied: the other side loads the same model with the same options.
        if isinstance(self.model, tuple) and isinstance(self.scorer, CascadeScorer):
            parts = (self.model, self.scorer.keep, self.options.on_failure)
            return _rebuild_cascade, (type(self), *parts)
        return _rebuild, (type(self), self.model, self.options)

    def rank(
        self,
        query: str,
        texts: Iterable[str],
        *,
        top_n: int | None = None,
        threshold: float | None = None,
    ) -> list[RankedDocument]:
        """Rank texts by relevance to the query.

        Args:
            query: The question. An empty string is scored like any other.
            texts: The candidates, in any order; any Unicode, any length.
            top_n: Keep this many. None keeps all.
            threshold: Keep only hits whose ``relevance`` (0..1) is at least this.

        Returns:
            Hits from best to worst; equal scores keep the order of ``texts``.

        Raises:
            ValueError: ``query`` is None, or ``top_n`` or ``threshold`` is out of range.
            TypeError: ``query`` or a text is not a string; the message names the index.
            ScoreError: The model returned NaN; the message names the indices.
            RemoteError: A server gave no scores.
        """
        candidates = _checked(query, texts, top_n, threshold)
        if not candidates:
            return []
        try:
            scores = self.scorer.score(query, candidates)
            return self._hits(query, candidates, scores, top_n, threshold)
        except RerankError as error:
            return self._unranked(candidates, top_n, error)

    async def arank(
        self,
        query: str,
        texts: Iterable[str],
        *,
        top_n: int | None = None,
        threshold: float | None = None,
    ) -> list[RankedDocument]:
        """:meth:`rank` for asyncio: the event loop stays free.

        When the awaiting task is cancelled, the work stops after the batch in progress; a request
        to a server is given up at once.
        """
        # Checked here, not in the thread: a mistake costs no thread and keeps a short traceback.
        candidates = _checked(query, texts, top_n, threshold)
        if not candidates:
            return []
        scorer = self.scorer
        if isinstance(scorer, AsyncScorer):
            try:
                scores = await scorer.ascore(query, candidates)
                return self._hits(query, candidates, scores, top_n, threshold)
            except RerankError as error:
                return self._unranked(candidates, top_n, error)

        def work() -> list[RankedDocument]:
            return self.rank(query, candidates, top_n=top_n, threshold=threshold)

        return await in_worker(work)

    def warm(self, texts: Iterable[str], *, tell: Callable[[int], object] | None = None) -> Warmed:
        """Encode texts into the store, so that ranking them costs no more than the query.

        What the store holds is not encoded again: a warming that was interrupted goes on where it
        stopped, and after a change of some texts only these cost anything.

        Args:
            texts: Any number, also from a generator: they are read as they are needed.
            tell: Called again and again with how many more texts are done.

        Returns:
            How many texts there were, and how many were encoded.

        Raises:
            StoreError: The store cannot be written.
            TypeError: A text is not a string; the message names the index.
            ValueError: There is no store, or the model has nothing to keep.
        """
        if isinstance(texts, (str, bytes, Mapping)) or not isinstance(texts, Iterable):
            raise TypeError(f"texts must be a list of strings, not {type(texts).__name__}")
        scorer = self.scorer
        if not isinstance(scorer, WarmableScorer):
            raise ValueError(  # noqa: TRY004 -- the model is of another kind, not the argument
                f"{self.name!r} cannot be warmed: only a late-interaction model with a store keeps "
                "the vectors of texts; of a cascade, warm that stage"
            )
        return scorer.warm(check_each_text(texts), tell or (lambda _: None))

    def explain(self, query: str, text: str) -> Explanation:
        """Tell which token of a text each token of the query matched, and how strongly.

        Args:
            query: The question.
            text: One candidate.

        Returns:
            The matches, whose similarities make up the score that :meth:`rank` gives the text;
            ``to_text()`` and ``to_html()`` show them.

        Raises:
            ValueError: ``query`` is None.
            TypeError: ``query`` or ``text`` is not a string, or the model is not a late-interaction
                model: others do not compare tokens one by one.
            ScoreError: The model returned NaN.
        """
        check_query(query)
        check_text(text)
        if not isinstance(self.scorer, ExplainingScorer):
            raise TypeError(why_not_explained(self.name, self.scorer))
        explanation = self.scorer.explain(query, text)
        check_scores([explanation.score], 1)
        return explanation

    def _hits(
        self,
        query: str,
        texts: Sequence[str],
        scores: Sequence[float],
        top_n: int | None,
        threshold: float | None,
    ) -> list[RankedDocument]:
        numbers = check_scores(scores, len(texts))
        relevance = calibration_of(self.scorer, query, scores)(numbers)
        hits = [
            RankedDocument(index=i, text=texts[i], score=numbers[i], relevance=relevance[i])
            for i in order(numbers)
        ]
        if threshold is not None:
            hits = [hit for hit in hits if hit.relevance >= threshold]
        return hits[:top_n]

    def _unranked(
        self, texts: Sequence[str], top_n: int | None, error: RerankError
    ) -> list[RankedDocument]:
        """The texts as they were given, if that is wanted; else the error is raised."""
        if self.options.on_failure != "keep_order":
            raise error
        note_failure(error)
        message = (
            f"{self.name} did not rank, and the {len(texts)} texts keep their given order: "
            f"{type(error).__name__}: {error}"
        )
        warnings.warn_explicit(message, RerankSkippedWarning, *place_of_caller())
        return [
            RankedDocument(index=i, text=text, score=math.nan, relevance=math.nan)
            for i, text in enumerate(texts[:top_n])
        ]


def _checked(
    query: str, texts: Iterable[str], top_n: int | None, threshold: float | None
) -> list[str]:
    """What is to be scored, if all arguments are good; nothing if nothing is wanted."""
    check_query(query)
    candidates = check_texts(texts)
    check_top_n(top_n)
    check_threshold(threshold)
    return [] if top_n == 0 else candidates


def _rebuild(kind: type[Reranker], model: Any, options: ModelOptions) -> Reranker:
    return kind(model, **options.as_kwargs())


def _rebuild_cascade(
    kind: type[Reranker], stages: tuple[Reranker, ...], keep: Sequence[int], on_failure: str
) -> Reranker:
    return kind._cascade(stages, keep, on_failure)


def _check_options(models: Sequence[object], options: ModelOptions) -> None:
    """Refuse what no stage of a cascade could take."""
    names = [os.fspath(model) for model in models if isinstance(model, (str, os.PathLike))]
    urls = [name for name in names if is_url(name)]
    if urls and len(urls) == len(models):
        options.refuse_for_server(shown(urls[0]))
    if not urls and len(names) == len(models):
        options.refuse_for_local(names[0])


def _stage(model: str | os.PathLike[str] | Scorer | Reranker, options: ModelOptions) -> Reranker:
    if isinstance(model, (str, os.PathLike)):
        own = options.only_for(server=is_url(os.fspath(model)))
        return Reranker(model, **own.as_kwargs())
    if not isinstance(model, Reranker):
        return Reranker(model, **replace(options, on_failure="raise").as_kwargs())
    options.refuse_unless_default(model, allowed=("on_failure",))
    if model.options.on_failure != "raise":
        raise ValueError(
            f"{model!r} has on_failure={model.options.on_failure!r}, but a stage that fails fails "
            "its cascade: give on_failure to Reranker.cascade, not to the stage"
        )
    return model
