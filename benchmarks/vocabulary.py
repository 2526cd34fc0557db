"""A tokenizer in XLM-R's format, for a machine that has no XLM-R vocabulary.

BERT's word pieces become SentencePiece's: ``word`` is ``▁word``, ``##ing`` is ``ing``. The list is
in order of frequency, so the rank stands for the score. XLM-R reads upper case, hence the
capitalised forms. Texts get about as many tokens as from BERT.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

__all__ = ["SPECIALS", "write_tokenizer", "xlmr_tokenizer"]

SPECIALS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
_SPACE = "▁"


def xlmr_tokenizer(bert_vocabulary: Path) -> Tokenizer:
    """XLM-R's pipeline (``<s> A </s></s> B </s>``) over BERT's pieces."""
    scored: dict[str, float] = dict.fromkeys(SPECIALS, 0.0)
    for piece, score in _pieces(bert_vocabulary.read_text("utf-8").splitlines()):
        scored.setdefault(piece, score)
    tokenizer = Tokenizer(models.Unigram([*scored.items(), ("<mask>", 0.0)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens([*SPECIALS, "<mask>"])
    return tokenizer


def write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """The files that transformers reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    settings = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 8192, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), "utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(names, indent=2), "utf-8")


def _pieces(vocabulary: list[str]) -> Iterator[tuple[str, float]]:
    """Pieces with the logarithm of about their share of a text."""
    yield _SPACE, -4.0
    for rank, piece in enumerate(vocabulary):
        score = -math.log(rank + 100.0)
        if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
            continue
        if piece.startswith("##"):
            yield piece[2:], score - 1
        elif piece.isalnum():
            yield _SPACE + piece, score
            if piece != piece.capitalize():
                yield _SPACE + piece.capitalize(), score - 1
            if len(piece) == 1:
                yield from ((form, score - 3) for form in (piece, piece.upper()))
        else:  # punctuation stands behind a word as a rule
            yield piece, score
            yield _SPACE + piece, score - 1
