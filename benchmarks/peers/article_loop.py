"""The loop of the articles and model cards: transformers, one text at a time, no batches.

For ColBERT it follows colbert-ai 0.2.22 (markers, [MASK]s, punctuation left out) and reads the
query once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Config, Model, Score
from benchmarks.peers.tools import MAX_LENGTH, LateReader, is_late, projection, quiet

__all__ = ["PEER"]


class ArticleLoop:
    """What one writes first."""

    name = "article_loop"
    venv = "peers"
    models: tuple[Model, ...] = ("bge", "colbert", "minilm-cross", "minilm-maxsim")

    def configs(self, model: Model) -> list[Config]:
        """One way only: it is the baseline."""
        return [Config("defaults")]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        """Model and tokenizer by their Auto classes."""
        quiet()
        return _late(folder, model) if is_late(model) else _pairs(folder)


def _pairs(folder: Path) -> Score:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def score(query: str, texts: Sequence[str]) -> list[float]:
        scores = []
        with torch.inference_mode():
            for text in texts:
                inputs = tokenizer(
                    query, text, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
                )
                scores.append(network(**inputs).logits.item())
        return scores

    return score


def _late(folder: Path, model: Model) -> Score:
    import torch
    from transformers import AutoModel

    reader = LateReader(folder, model)
    network = AutoModel.from_pretrained(folder).eval()
    linear = projection(folder) if model == "colbert" else torch.nn.Identity()

    def encode(row: dict[str, list[int]]) -> Any:
        inputs = {name: torch.tensor([values]) for name, values in row.items()}
        return torch.nn.functional.normalize(linear(network(**inputs)[0][0]), dim=-1)

    def score(query: str, texts: Sequence[str]) -> list[float]:
        scores = []
        with torch.inference_mode():
            vectors = encode(reader.query(query))
            for text in texts:
                (row,) = reader.documents([text])
                document = encode(row)[reader.kept(row)]
                scores.append((document @ vectors.T).amax(0).sum().item())
        return scores

    return score


PEER = ArticleLoop()
