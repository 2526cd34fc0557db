"""This project, measured like everybody else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Config, Model, Score

__all__ = ["OURS", "Ours"]


class Ours:
    """``Reranker.rank``, the call that users make."""

    name = "rag-rerankers"
    venv = "main"
    models: tuple[Model, ...] = ("bge", "colbert", "minilm-cross", "minilm-maxsim")

    def configs(self, model: Model) -> list[Config]:
        """The defaults, and every precision that they are not."""
        import torch

        from rag_rerankers.engine.device import choose_dtype

        chosen = choose_dtype("auto", torch.device("cpu"))
        default = str(chosen).removeprefix("torch.")
        others = [dtype for dtype in ("float32", "bfloat16", "int8") if dtype != default]
        return [
            Config("defaults", default),
            *(Config(f"dtype={dtype!r}", dtype, {"dtype": dtype}) for dtype in others),
        ]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """A reranker as a score function."""
        from rag_rerankers import Reranker

        options = {name: value for name, value in config.options.items() if name != "env"}
        reranker = Reranker(folder, **options)

        def score(query: str, texts: Sequence[str]) -> list[float]:
            scores = [0.0] * len(texts)
            for hit in reranker.rank(query, texts):
                scores[hit.index] = hit.score
            return scores

        return score


OURS = Ours()
