"""The models that are served: loaded in the background, found by name."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rag_rerankers.reranker import Reranker
from rag_rerankers.scorers.cascade import DEFAULT_KEEP, CascadeScorer, stage_names
from rag_rerankers.server.problems import Problem
from rag_rerankers.server.settings import ServerSettings
from rag_rerankers.types import ExplainingScorer
from rag_rerankers.workers import worker_threads

__all__ = ["ServedModel", "ServedModels"]

logger = logging.getLogger("rag_rerankers.server")

_LOADING = 5.0
_UNNAMED = "default/not-specified"
"""What infinity's client sends where its user names no model."""


@dataclass
class ServedModel:
    """A model, once it is loaded.

    Attributes:
        name: That clients know it by.
        model: That it is loaded by.
        reranker: None until it is loaded.
        created: Unix time from which on it is served.
    """

    name: str
    model: str
    reranker: Reranker | None = None
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def kind(self) -> str:
        """What kind of model it is."""
        return _kind(self.reranker)

    @property
    def explains(self) -> bool:
        """Whether it can tell which token matched which."""
        return self.reranker is not None and isinstance(self.reranker.scorer, ExplainingScorer)

    @property
    def max_length(self) -> int | None:
        """Tokens of a text (a pair, for a cross-encoder) that it reads; None if it cannot tell."""
        scorer: Any = self.reranker.scorer if self.reranker else None
        if isinstance(scorer, CascadeScorer):
            scorer = scorer.stages[0]
        length = getattr(scorer, "max_length", None)
        return length if isinstance(length, int) else None


class ServedModels:
    """All models of a server.

    Args:
        settings: Which, and how to load them.
        load: Makes a reranker; for the tests.
    """

    def __init__(
        self,
        settings: ServerSettings,
        load: Callable[[str, ServerSettings], Reranker] | None = None,
    ) -> None:
        self._settings = settings
        self._load = load or load_reranker
        self._models = {one.name: ServedModel(one.name, one.model) for one in settings.served()}
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    @property
    def ready(self) -> bool:
        """Whether all are loaded."""
        return self.error is None and all(model.reranker for model in self)

    async def load(self) -> None:
        """Load one after another, on a thread; what goes wrong is kept in :attr:`error`."""
        loop = asyncio.get_running_loop()
        self.error = None
        # A model may have several names, and an application may be started again.
        loaded = {one.model: one.reranker for one in self if one.reranker is not None}
        for model in self:
            start = time.monotonic()
            try:
                if model.model not in loaded:
                    loaded[model.model] = await loop.run_in_executor(
                        worker_threads("load"), self._load, model.model, self._settings
                    )
                model.reranker = loaded[model.model]
            except Exception as error:
                self.error = error
                logger.error("model failed", extra={"model": model.name, "error": str(error)})
                return
            seconds = round(time.monotonic() - start, 1)
            logger.info(
                "model loaded",
                extra={"model": model.name, "kind": model.kind, "seconds": seconds},
            )

    def find(self, name: str | None) -> ServedModel:
        """The model that a request means.

        A server of one model answers to every name: clients of hosted services insist on the names
        of these. The answer says which model it was.

        Raises:
            Problem: 404, no model has this name; 503, it is not loaded yet or cannot be.
        """
        if name is not None and name in self._models:
            model = self._models[name]
        elif name is None or name == _UNNAMED or len(self._models) == 1:
            model = next(iter(self))
        else:
            known = ", ".join(repr(one.name) for one in self)
            raise Problem(404, f"there is no model {name!r:.100} here, but {known}")
        if model.reranker is None:
            if self.error is not None:
                raise Problem(503, f"the model {model.name!r} could not be loaded")
            raise Problem(503, f"the model {model.name!r} is being loaded", retry_after=_LOADING)
        return model

    def check(self) -> None:
        """Refuse while not all are loaded.

        Raises:
            Problem: 503; names the first that is missing.
        """
        for name in self._models:
            self.find(name)


def load_reranker(model: str, settings: ServerSettings) -> Reranker:
    """Load a model or a cascade as the settings say."""
    stages = stage_names(model)
    if stages:
        keep = DEFAULT_KEEP if settings.keep is None else settings.keep
        return Reranker.cascade(stages, keep=keep, **settings.options.as_kwargs())
    return Reranker(model, **settings.options.as_kwargs())


def _kind(reranker: Reranker | None) -> str:
    if reranker is None:
        return "loading"
    scorer = reranker.scorer
    if isinstance(scorer, CascadeScorer):
        return "cascade"
    if isinstance(scorer, ExplainingScorer):
        return "late-interaction"
    kind = type(scorer).__name__
    return "cross-encoder" if kind == "CrossEncoderScorer" else "other"
