"""MaxSim over the token vectors of a plain encoder, written out plainly.

One text at a time, fp32, the tokenizer's own special tokens and truncation, NumPy for the maths.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

__all__ = ["Reference"]


class Reference:
    """An encoder, loaded once."""

    def __init__(self, folder: Path, max_length: int = 512) -> None:
        auto: Any = transformers.AutoModel
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.encoder = auto.from_pretrained(
            folder, local_files_only=True, attn_implementation="eager", dtype=torch.float32
        ).eval()
        self.max_length = max_length

    @torch.no_grad()
    def vectors(self, text: str) -> np.ndarray[Any, Any]:
        """One vector of unit length per token, special tokens included."""
        made = self.tokenizer(
            text, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        states = self.encoder(**made).last_hidden_state[0].double().numpy()
        lengths = np.sqrt((states**2).sum(axis=1, keepdims=True))
        scaled: np.ndarray[Any, Any] = states / lengths
        return scaled

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """For each query vector its best document vector, summed."""
        asked = self.vectors(query)
        return [float((asked @ self.vectors(text).T).max(axis=1).sum()) for text in texts]
