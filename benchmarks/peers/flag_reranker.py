"""FlagEmbedding's ``FlagReranker``: on a CPU it computes in float32 whatever it is told.

It runs the longest batch twice (a trial for its out-of-memory back-off), so that small batches are
its best; with transformers 5 it decodes and tokenises every pair once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.tools import quiet

__all__ = ["PEER"]


class FlagReranker:
    """The reference implementation of bge-reranker."""

    name = "flag_reranker"
    venv = "peers"
    models: tuple[Model, ...] = ("bge", "minilm-cross")

    def configs(self, model: Model) -> list[Config]:
        """Batch sizes."""
        return [
            Config("defaults"),
            *(Config(f"batch {size}", options={"batch_size": size}) for size in (1, 2, 4, 8, 32)),
        ]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Through its public class."""
        quiet()
        from FlagEmbedding import FlagReranker as Reranker

        reranker = Reranker(str(folder), devices="cpu", **config.options)

        def score(query: str, texts: Sequence[str]) -> list[float]:
            scores = reranker.compute_score([(query, text) for text in texts])
            return [float(value) for value in scores]

        return score


PEER = FlagReranker()
