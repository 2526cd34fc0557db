"""Real fast tokenizers with tiny vocabularies, built in code."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Literal

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

Weights = Literal["safetensors", "bin"]


CJK = "東京中国日本語文字検索人工知能猫犬水火山川"
WORDS = (  # noqa: SIM905 (a list of sixty strings would be a column of sixty lines)
    "the a an of to in is are was what how why which where who panda bear giant china bamboo eats"
    " city capital france paris river rust python list dict search engine query passage rank model"
    " late interaction token vector score document retrieval language animal lives forest not and"
    " or with"
).split()
SUFFIXES = ("##ing", "##ed", "##er", "##ly", "##tion")


# --- tokenizers ---


def wordpiece_tokenizer(
    specials: Mapping[str, str] | None = None, *, roberta_pairs: bool = False
) -> Tokenizer:
    """BERT's pipeline: lower case, no accents, punctuation and CJK characters apart, WordPiece."""
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    names |= specials or {}
    alphabet = string.ascii_lowercase + string.digits
    unused = [f"[unused{n}]" for n in range(4)]
    pieces = [names["pad"], *unused, names["unk"], names["cls"], names["sep"], names["mask"]]
    if roberta_pairs:  # MPNet's model takes id 1 for padding, whatever its configuration says
        pieces = [names["cls"], names["pad"], names["sep"], *unused, names["unk"], names["mask"]]
    pieces += [*string.punctuation, *alphabet, *(f"##{c}" for c in alphabet), *CJK]
    pieces += [word for word in WORDS if len(word) > 1] + list(SUFFIXES)
    vocab = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=names["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    cls, sep = names["cls"], names["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} {sep} $B {sep}" if roberta_pairs else f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    tokenizer.add_special_tokens(list(names.values()))
    return tokenizer


def unigram_tokenizer(*, deberta: bool = False) -> Tokenizer:
    """SentencePiece's pipeline as in XLM-R (``<s> A </s></s> B </s>``) or in DeBERTa-v2."""
    if deberta:
        cls, pad, sep, unk, mask = "[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"
        head = [pad, cls, sep, unk]
    else:
        cls, pad, sep, unk, mask = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
        head = [cls, pad, sep, unk]
    letters = string.ascii_letters + string.digits + string.punctuation + CJK + "éüñßøλж"
    scored = [(piece, 0.0) for piece in head] + [("▁", -3.0)]
    scored += [(letter, -8.0 - index / 100) for index, letter in enumerate(letters)]
    scored += [(f"▁{word}", -4.0 - index / 50) for index, word in enumerate(WORDS)]
    scored += [(suffix[2:], -6.0 - n / 10) for n, suffix in enumerate(SUFFIXES) if len(suffix) > 3]
    scored.append((mask, 0.0))
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=3, byte_fallback=False))
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    if deberta:
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
                normalizers.NFC(),
                normalizers.Strip(left=False, right=True),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([metaspace])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), metaspace]
        )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1" if deberta else f"{cls} $A {sep} {sep} $B {sep}",
        special_tokens=[(cls, head.index(cls)), (sep, head.index(sep))],
    )
    tokenizer.add_special_tokens([*head, mask])
    return tokenizer


def bytes_tokenizer(*, modernbert: bool = False) -> Tokenizer:
    """Byte-level BPE: RoBERTa's ``<s>A</s></s>B</s>``, ModernBERT's ``[CLS]A[SEP]B[SEP]``."""
    if modernbert:
        cls, pad, sep, unk, mask = "[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"
    else:
        cls, pad, sep, unk, mask = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
    head = [cls, pad, sep, unk]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [
        ("t", "h"),
        ("th", "e"),
        ("Ġ", "the"),
        ("i", "n"),
        ("a", "n"),
        ("an", "d"),
        ("e", "r"),
        ("Ġ", "a"),
    ]
    vocab = {
        piece: n
        for n, piece in enumerate([*head, *alphabet, *("".join(pair) for pair in merges), mask])
    }
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, fuse_unk=False))
    if modernbert:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if modernbert:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(cls, 0), (sep, 2)],
        )
    else:
        tokenizer.post_processor = processors.RobertaProcessing(
            (sep, 2), (cls, 0), add_prefix_space=False
        )
    tokenizer.add_special_tokens([*head, AddedToken(mask, lstrip=True, special=True)])
    return tokenizer
