"""FlashRank: ONNX Runtime over all texts of a call at once, padded to the longest of them.

It knows seven names of models and downloads what is not in ``cache_dir``; a folder under one of
these names, with the files that it reads, is taken as it is. Its own MiniLM is dynamic int8
(``..._Q.onnx``), and so is its default here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.onnxruntime_int8 import REDUCED, SIGNED, quantized
from benchmarks.peers.tools import VNNI, batches, converted, cpu_has, onnx_file, quiet

__all__ = ["PEER"]

NAME = "ms-marco-MiniLM-L-12-v2"
FILE = "flashrank-MiniLM-L-12-v2_Q.onnx"


class FlashRank:
    """Its ``Ranker`` with our MiniLM."""

    name = "flashrank"
    venv = "peers"
    models: tuple[Model, ...] = ("minilm-cross",)

    def configs(self, model: Model) -> list[Config]:
        """One request for all texts, or several of like length."""
        return [
            Config("defaults", "int8", {"quantized": True}),
            Config("int8, requests of 1", "int8", {"quantized": True, "request": 1}),
            Config("int8, requests of 8", "int8", {"quantized": True, "request": 8}),
            Config("fp32", "float32", {"quantized": False}),
            Config("fp32, requests of 1", "float32", {"quantized": False, "request": 1}),
            Config("fp32, requests of 8", "float32", {"quantized": False, "request": 8}),
        ]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Its ranker sorts the passages that it is given; ids bring them back into order."""
        quiet()
        from flashrank import Ranker, RerankRequest

        place = _folder(folder, model, config)
        ranker = Ranker(model_name=NAME, cache_dir=str(place), max_length=512, log_level="ERROR")

        def score(query: str, texts: Sequence[str]) -> list[float]:
            scores = [0.0] * len(texts)
            size = config.options.get("request", len(texts))
            for group in batches([len(text) for text in texts], size):
                passages = [{"id": index, "text": texts[index]} for index in group]
                for result in ranker.rerank(RerankRequest(query=query, passages=passages)):
                    scores[result["id"]] = float(result["score"])
            return scores

        return score


def _folder(folder: Path, model: Model, config: Config) -> Path:
    source = onnx_file(folder, model)
    kind = "fp32"
    if config.options["quantized"]:
        kind = "int8"
        source = quantized(folder, source, SIGNED if cpu_has(*VNNI) else REDUCED)

    def make(place: Path) -> None:
        import onnx
        from transformers import AutoTokenizer

        home = place / NAME
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.save_pretrained(home)
        # transformers 5 no longer writes these two as FlashRank reads them.
        special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
        (home / "special_tokens_map.json").write_text(json.dumps(special), "utf-8")
        shape = json.loads((folder / "config.json").read_text("utf-8"))
        (home / "config.json").write_text(json.dumps({"pad_token_id": 0} | shape), "utf-8")
        onnx.save(onnx.load(str(source)), str(home / FILE))

    return converted(folder, f"flashrank-{kind}-{source.parent.name}", make)


PEER = FlashRank()
