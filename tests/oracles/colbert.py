"""ColBERT reranking written out plainly, after the maths of colbert-ai 0.2.22.

One text at a time, fp32, a plain padded transformer, the tokenizer's own truncation and padding:
nothing shared with a batched, packed or hand-cut implementation. Reads the Stanford layout alone;
checkpoints of the other layouts with the same weights must give the same scores.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

DEFAULTS = {
    "query_maxlen": 32,
    "doc_maxlen": 220,
    "mask_punctuation": True,
    "attend_to_mask_tokens": False,
    "query_token_id": "[unused0]",
    "doc_token_id": "[unused1]",
}


class Reference:
    """A Stanford checkpoint, loaded once."""

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        artifact = folder / "artifact.metadata"
        read = json.loads(artifact.read_text(encoding="utf-8")) if artifact.exists() else {}
        read = read.get("config", read)
        self.settings: dict[str, Any] = {
            key: read.get(key, value) for key, value in DEFAULTS.items()
        }
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        auto: Any = transformers.AutoModel
        self.encoder = auto.from_config(config, attn_implementation="eager").eval()
        if (folder / "model.safetensors").exists():
            tensors = load_file(folder / "model.safetensors")
        else:
            tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
        self.linear = tensors["linear.weight"].float()
        prefix = f"{self.encoder.base_model_prefix}."
        inner = {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
        inner.pop("embeddings.position_ids", None)
        self.encoder.load_state_dict(inner, strict=True)

    def _marker(self, key: str) -> torch.Tensor:
        return torch.tensor([self.tokenizer.convert_tokens_to_ids(self.settings[key])])

    @torch.no_grad()
    def _vectors(self, ids: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=ids[None], attention_mask=attended[None]).last_hidden_state[
            0
        ]
        projected: torch.Tensor = hidden @ self.linear.T
        return projected

    def query_vectors(self, query: str) -> torch.Tensor:
        """All query_maxlen vectors, those of [MASK] included."""
        width = self.settings["query_maxlen"]
        made = self.tokenizer(
            query, padding="max_length", truncation=True, max_length=width - 1, return_tensors="pt"
        )
        ids, attended = made["input_ids"][0], made["attention_mask"][0]
        ids = torch.cat([ids[:1], self._marker("query_token_id"), ids[1:]])
        attended = torch.cat([attended[:1], torch.tensor([1]), attended[1:]])
        ids[ids == self.tokenizer.pad_token_id] = self.tokenizer.mask_token_id
        if self.settings["attend_to_mask_tokens"]:
            attended[ids == self.tokenizer.mask_token_id] = 1
        return torch.nn.functional.normalize(self._vectors(ids, attended), dim=1)

    def document_vectors(self, text: str) -> torch.Tensor:
        """The vectors that count: no padding, no punctuation."""
        made = self.tokenizer(
            text, truncation=True, max_length=self.settings["doc_maxlen"] - 1, return_tensors="pt"
        )
        ids, attended = made["input_ids"][0], made["attention_mask"][0]
        ids = torch.cat([ids[:1], self._marker("doc_token_id"), ids[1:]])
        attended = torch.cat([attended[:1], torch.tensor([1]), attended[1:]])
        dropped = {self.tokenizer.pad_token_id}
        if self.settings["mask_punctuation"]:
            for symbol in string.punctuation:
                dropped.add(self.tokenizer.encode(symbol, add_special_tokens=False)[0])
        kept = torch.tensor([token not in dropped for token in ids.tolist()])
        return torch.nn.functional.normalize(self._vectors(ids, attended)[kept], dim=1)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """The sum over query vectors of the best dot product with a document vector."""
        asked = self.query_vectors(query)
        return [
            float((asked @ self.document_vectors(text).T).max(dim=1).values.sum()) for text in texts
        ]


def score(folder: str | Path, query: str, texts: Sequence[str]) -> list[float]:
    """Scores in the order of `texts`."""
    return Reference(folder).score(query, texts)
