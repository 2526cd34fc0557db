"""The ``rerankers`` package 0.10.

In a venv with transformers 4: its ColBERT does not load with 5 (``'ColBERTModel' object has no
attribute 'all_tied_weights_keys'``). That ColBERT is not the reference: punctuation counts, the
query is not 32 wide, and the sum is divided by the number of real query tokens. It pads all
documents to the longest before it cuts them into batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.tools import MAX_LENGTH, quiet

__all__ = ["PEER"]


class Rerankers:
    """One interface for many rerankers."""

    name = "rerankers"
    venv = "legacy"
    models: tuple[Model, ...] = ("bge", "minilm-cross", "colbert")

    def configs(self, model: Model) -> list[Config]:
        """Dtypes and batch sizes; it does not sort by length."""
        return [
            Config("defaults"),
            *(Config(f"fp32, batch {size}", options={"batch_size": size}) for size in (1, 2, 4)),
            *(
                Config(f"bf16, batch {size}", "bfloat16", {"batch_size": size, "dtype": "bf16"})
                for size in (1, 2, 4, 16)
            ),
        ]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Through its factory."""
        quiet()
        from rerankers import Reranker

        ranker = Reranker(
            str(folder),
            model_type="colbert" if model == "colbert" else "cross-encoder",
            device="cpu",
            verbose=0,
            tokenizer_kwargs={"model_max_length": MAX_LENGTH},
            **config.options,
        )

        def score(query: str, texts: Sequence[str]) -> list[float]:
            ranked = ranker.rank(query, list(texts), doc_ids=list(range(len(texts))))
            found = {result.document.doc_id: float(result.score) for result in ranked.results}
            return [found[index] for index in range(len(texts))]

        return score


PEER = Rerankers()
