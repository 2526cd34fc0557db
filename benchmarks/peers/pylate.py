"""PyLate 1.6: ``models.ColBERT`` and ``rank.rerank``.

It pins sentence-transformers 5.3.0 and transformers <= 5.3.0. Its fast-plaid wants an older torch
than 2.13; reranking does not need it, so PyLate is installed with ``--no-deps``. Of a plain
encoder it makes a ColBERT with a projection, which is set to the identity here (1 % more work).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.sentence_transformers_cross import torch_configs
from benchmarks.peers.tools import MAX_LENGTH, quiet

__all__ = ["PEER"]


class PyLate:
    """A library for late interaction."""

    name = "pylate"
    venv = "pylate"
    models: tuple[Model, ...] = ("colbert", "minilm-maxsim")

    def configs(self, model: Model) -> list[Config]:
        """Dtypes and batch sizes."""
        return torch_configs()

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Encode both, then its reranking."""
        quiet()
        from pylate import rank

        encoder = _encoder(folder, model, config.options.get("dtype", "float32"))
        settings: dict[str, Any] = {
            "batch_size": config.options.get("batch_size", 32),
            "show_progress_bar": False,
            # numpy has no bfloat16.
            "convert_to_numpy": config.dtype == "float32",
        }

        def score(query: str, texts: Sequence[str]) -> list[float]:
            queries = encoder.encode([query], is_query=True, **settings)
            documents = encoder.encode(list(texts), is_query=False, **settings)
            (ranked,) = rank.rerank(
                documents_ids=[list(range(len(texts)))],
                queries_embeddings=queries,
                documents_embeddings=[documents],
            )
            found = {result["id"]: float(result["score"]) for result in ranked}
            return [found[index] for index in range(len(texts))]

        return score


def _encoder(folder: Path, model: Model, dtype: str) -> Any:
    import torch
    from pylate import models

    kwargs: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if model == "colbert":
        return models.ColBERT(str(folder), device="cpu", model_kwargs=kwargs)
    from sentence_transformers.models import Transformer

    encoder = models.ColBERT(
        modules=[Transformer(str(folder), max_seq_length=MAX_LENGTH, model_args=kwargs)],
        device="cpu",
        embedding_size=384,
        query_prefix="",
        document_prefix="",
        query_length=MAX_LENGTH,
        document_length=MAX_LENGTH,
        do_query_expansion=False,
        skiplist_words=[],
    )
    with torch.no_grad():
        encoder[1].linear.weight.copy_(torch.eye(384))
    return encoder


PEER = PyLate()
