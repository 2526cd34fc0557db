"""The model of a run: named here, loaded by each worker."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_rerankers.options import ModelOptions
from rag_rerankers.reranker import Reranker
from rag_rerankers.scorers.cascade import DEFAULT_KEEP, CascadeScorer, stage_names
from rag_rerankers.types import Scorer

__all__ = ["Model", "model_of"]


@dataclass(frozen=True)
class Model:
    """What a worker loads.

    Attributes:
        source: A name, an absolute path, or an object that can be sent to the workers.
        options: How to load what is named.
    """

    source: str | Scorer | Reranker
    options: ModelOptions

    def load(self) -> Reranker:
        """Load it.

        Raises:
            ModelLoadError: It cannot be found or is not a reranker.
        """
        if isinstance(self.source, Reranker):
            return self.source
        stages = stage_names(self.source) if isinstance(self.source, str) else []
        if stages:
            return Reranker.cascade(stages, keep=DEFAULT_KEEP, **self.options.as_kwargs())
        return Reranker(self.source, **self.options.as_kwargs())

    @property
    def is_cascade(self) -> bool:
        """Whether it ranks the texts of a query together."""
        if isinstance(self.source, str):
            return bool(stage_names(self.source))
        scorer = self.source.scorer if isinstance(self.source, Reranker) else self.source
        return isinstance(scorer, CascadeScorer)

    def described(self) -> dict[str, Any]:
        """For the manifest: what scores depend on."""
        options = self.options
        name = self.source
        if isinstance(name, Reranker):
            options = name.options
            name = name.name if isinstance(name.model, (str, tuple)) else name.scorer
        if not isinstance(name, str):
            name = f"{type(name).__module__}.{type(name).__qualname__}"
        told = {
            key: value if value is None or isinstance(value, int) else str(value)
            for key, value in options.as_kwargs().items()
            # In which portions it computes does not change what it says.
            if key not in ("batch_tokens", "local_files_only")
        }
        return {"model": name, **told}


def model_of(model: str | os.PathLike[str] | Scorer | Reranker, options: ModelOptions) -> Model:
    """What the workers are to load.

    Raises:
        TypeError, ValueError: It is none, or has options that would be ignored.
    """
    if isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
        # A worker may stand in another folder.
        # (Links stay as they are: on other machines they may lead elsewhere.)
        folder = Path(name).is_dir()
        return Model(os.path.abspath(name) if folder else name, options)  # noqa: PTH100
    if isinstance(model, type) or not isinstance(model, (Scorer, Reranker)):
        raise TypeError(
            "model must be a name, a folder, a Reranker or an object with a score method, "
            f"not {model!r}"
        )
    options.refuse_unless_default(model)
    return Model(model, options)
