"""How many tokens a model reads for given candidates: the work that everybody is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Model

__all__ = ["count_tokens"]

CROSS_LENGTH, COLBERT_QUERY, COLBERT_LENGTH, MAXSIM_LENGTH = 512, 32, 180, 512


def count_tokens(folder: Path, model: Model, query: str, texts: Sequence[str]) -> int:
    """Tokens of the query and the texts, special tokens included, cut as the model cuts them.

    Args:
        folder: The model's folder.
        model: Which model it is.
        query: Goes along with every text in a cross-encoder, alone in late interaction.
        texts: The candidates.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    (asked,) = _lengths(tokenizer, [query])
    found = _lengths(tokenizer, texts)
    if model == "colbert":  # [CLS], a marker, [SEP]
        return COLBERT_QUERY + sum(min(COLBERT_LENGTH, length + 3) for length in found)
    if model == "minilm-maxsim":
        return sum(min(MAXSIM_LENGTH, length + 2) for length in [asked, *found])
    special = tokenizer.num_special_tokens_to_add(is_pair=True)
    return sum(min(CROSS_LENGTH, asked + length + special) for length in found)


def _lengths(tokenizer: object, texts: Sequence[str]) -> list[int]:
    encoded = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)  # type: ignore[attr-defined]
    return [len(encoding.ids) for encoding in encoded]
