"""Cross-encoder scores by plain transformers on ids joined as FlagEmbedding 1.4.2 joins them.

The query is cut to 3/4 of `max_length`, the passage to `max_length`, each without specials; then,
of the pair with its specials, only the passage is cut. One pair at a time, no padding, fp32.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer


class Reference:
    """A sequence-classification checkpoint, loaded once."""

    def __init__(self, folder: str | Path, attn_implementation: str = "eager") -> None:
        folder = Path(folder)
        self.tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.model = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, attn_implementation=attn_implementation
        )
        self.model.float().eval()
        empty = self.tokenizer.encode("", "", add_special_tokens=True)
        specials = empty.ids
        # <s> </s> </s> </s> where pairs are joined by two separators, [CLS] [SEP] [SEP] by one.
        if len(specials) not in (3, 4):
            raise ValueError(
                f"{folder}: a pair has {len(specials)} special tokens; this reference knows 3 and 4"
            )
        self.head, self.middle, self.tail = specials[:1], specials[1:-1], specials[-1:]
        self.second_type = empty.type_ids[-1]
        self.uses_types = getattr(self.model.config, "type_vocab_size", 0) > 1

    def _plain(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def inputs(self, query: str, text: str, max_length: int) -> dict[str, torch.Tensor]:
        """What the model is given for one pair."""
        asked = self._plain(query)[: max_length * 3 // 4]
        passage = self._plain(text)[:max_length]
        fixed = len(self.head) + len(asked) + len(self.middle) + len(self.tail)
        passage = passage[: max(0, max_length - fixed)]
        first = [*self.head, *asked, *self.middle]
        if len(self.middle) == 2 and self.second_type:
            raise ValueError("two separators and token types: no known family")
        second = [*passage, *self.tail]
        made = {"input_ids": torch.tensor([first + second])}
        made["attention_mask"] = torch.ones_like(made["input_ids"])
        if self.uses_types:
            made["token_type_ids"] = torch.tensor([[0] * len(first) + [1] * len(second)])
        return made

    @torch.no_grad()
    def score(self, query: str, texts: Sequence[str], max_length: int = 512) -> list[float]:
        """The raw logits."""
        return [
            float(self.model(**self.inputs(query, text, max_length)).logits[0, 0]) for text in texts
        ]


def score(
    folder: str | Path, query: str, texts: Sequence[str], max_length: int = 512
) -> list[float]:
    """Raw logits in the order of `texts`."""
    return Reference(folder).score(query, texts, max_length)
