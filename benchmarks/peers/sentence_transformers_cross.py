"""sentence-transformers' ``CrossEncoder`` on torch; it sorts texts by characters itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.tools import MAX_LENGTH, quiet

__all__ = ["PEER", "torch_configs"]


def torch_configs() -> list[Config]:
    """Its defaults, then dtypes and batch sizes."""
    configs = [Config("defaults")]
    for dtype, short in (("float32", "fp32"), ("bfloat16", "bf16")):
        for size in (1, 2, 4, 8, 32):
            if (dtype, size) != ("float32", 32):  # the defaults
                options = {"batch_size": size, "dtype": dtype}
                configs.append(Config(f"{short}, batch {size}", dtype, options))
    return configs


class SentenceTransformersCross:
    """What LangChain's and LlamaIndex's cross-encoders call."""

    name = "sentence_transformers_cross"
    venv = "peers"
    models: tuple[Model, ...] = ("bge", "minilm-cross")

    def configs(self, model: Model) -> list[Config]:
        """Dtypes and batch sizes."""
        return torch_configs()

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Through its public class; ``max_length`` is set for like work, not for speed."""
        quiet()
        from sentence_transformers import CrossEncoder

        dtype = config.options.get("dtype", "float32")
        encoder = CrossEncoder(
            str(folder), device="cpu", max_length=MAX_LENGTH, model_kwargs={"dtype": dtype}
        )
        size = config.options.get("batch_size", 32)

        def score(query: str, texts: Sequence[str]) -> list[float]:
            pairs = [(query, text) for text in texts]
            return [float(s) for s in encoder.predict(pairs, batch_size=size)]

        return score


PEER = SentenceTransformersCross()
