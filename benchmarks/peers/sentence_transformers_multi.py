"""sentence-transformers' ``MultiVectorEncoder``; a document list is sorted by its own code.

Of a plain encoder it would make a ColBERT with a projection of random numbers, so that the modules
are put together here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.sentence_transformers_cross import torch_configs
from benchmarks.peers.tools import MAX_LENGTH, quiet

__all__ = ["PEER"]


class SentenceTransformersMulti:
    """The strongest late-interaction engine among the peers."""

    name = "sentence_transformers_multi"
    venv = "peers"
    models: tuple[Model, ...] = ("colbert", "minilm-maxsim")

    def configs(self, model: Model) -> list[Config]:
        """Dtypes and batch sizes."""
        return torch_configs()

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Encode both, then its MaxSim."""
        quiet()
        import torch

        encoder = _encoder(folder, model, config.options.get("dtype", "float32"))
        size = config.options.get("batch_size", 32)

        def score(query: str, texts: Sequence[str]) -> list[float]:
            with torch.inference_mode():
                queries = encoder.encode_query([query], batch_size=size)
                documents = encoder.encode_document(list(texts), batch_size=size)
                scores: list[float] = encoder.similarity(queries, documents)[0].tolist()
            return scores

        return score


def _encoder(folder: Path, model: Model, dtype: str) -> Any:
    from sentence_transformers import MultiVectorEncoder

    if model == "colbert":
        return MultiVectorEncoder(str(folder), device="cpu", model_kwargs={"dtype": dtype})
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    transformer = Transformer(
        str(folder),
        max_seq_length=MAX_LENGTH,
        model_kwargs={"dtype": dtype},
        module_output_name="token_embeddings",
    )
    modules = [transformer, MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    return MultiVectorEncoder(modules=modules, device="cpu")


PEER = SentenceTransformersMulti()
