"""Every kind of model behind one method: ``score(query, texts)``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rag_rerankers.options import ModelOptions
from rag_rerankers.remote.endpoint import is_url, shown

if TYPE_CHECKING:
    from rag_rerankers.types import CalibratedScorer

__all__ = ["load_scorer"]


def load_scorer(
    name: str | os.PathLike[str], options: ModelOptions | None = None
) -> CalibratedScorer:
    """Load a model and return its scorer.

    The kind of model is read off its files: a classification head with one label makes a
    cross-encoder; ColBERT's files, or an encoder without a head, a late-interaction model. A URL
    makes a :class:`~rag_rerankers.RemoteScorer`, which asks its server at the first score.

    Args:
        name: An alias, a hub id, a local folder, or the URL of a server.
        options: How to load and run it; None for the defaults.

    Raises:
        ModelLoadError: The model cannot be found or is not a reranker.
        ValueError: An option that this model or machine cannot serve.
    """
    options = options or ModelOptions()
    name = os.fspath(name)
    if is_url(name):
        from rag_rerankers.remote import RemoteScorer

        options.refuse_for_server(shown(name))
        return RemoteScorer(name, api_key=options.api_key, timeout=options.timeout)
    options.refuse_for_local(name)
    # Only here do torch and transformers get imported.
    from rag_rerankers.scorers.loading import load

    return load(name, options)
