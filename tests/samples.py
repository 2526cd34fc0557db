"""Texts to score: fixed ones, and random ones from a seed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.checkpoints import WORDS

__all__ = ["MIXED", "NASTY", "QUERY", "golden", "random_texts", "sentence"]

GOLDEN = Path(__file__).parent / "golden"

QUERY = "what is a giant panda?"
MIXED = (
    "panda",
    "The giant panda is a bear that lives in China and eats bamboo.",
    "",
    "Rust, Python: a list of search engines...",
    "paris is the capital of france",
    "bear " * 30,
    "river",
)
"""Different lengths, two of them of one token, an empty one among them."""

NASTY = {
    "empty": "",
    "space": " \t\n ",
    "NUL": "a\x00b",
    "emoji": "🐼 👨‍👩‍👧‍👦 🏳️‍🌈",
    "right to left": "שלום עולם مرحبا \u202eabc\u202c",
    "zero width": "pan\u200bda\ufeff\u200d",
    "combining": "e\u0301" * 50,
    "lone high surrogate": "panda \ud83d bear",
    "lone low surrogate": "\udc00",
    "surrogate pair": "\ud83d\udc3c",
    "private use and noncharacter": "\ue000\ufffe\U0010ffff",
    "control": "".join(map(chr, range(32))),
    "special tokens": "<s> </s> <pad> <mask> <unk> [CLS] [SEP] [PAD] [MASK] [unused0] [Q] [D] ",
    "cjk": "東京は日本の首都です。",
    "one long word": "x" * 5000,
}


def sentence(chosen: random.Random, n_words: int) -> str:
    """Known words, unknown words, punctuation, capitals."""
    words = []
    for _ in range(n_words):
        word = chosen.choice(WORDS)
        if chosen.random() < 0.3:
            word = "".join(
                chosen.choices("bcdfghjklmnpqrstvwxyz0123456789", k=chosen.randint(1, 8))
            )
        if chosen.random() < 0.1:
            word = word.upper()
        words.append(word + chosen.choice(["", "", "", "", ",", ".", "!", "-", "'s"]))
    return " ".join(words)


def random_texts(seed: int, n_texts: int, longest: int = 60) -> list[str]:
    """Texts of 0 to ``longest`` words."""
    chosen = random.Random(seed)
    return [sentence(chosen, chosen.randint(0, longest)) for _ in range(n_texts)]


def golden(name: str) -> dict[str, Any]:
    """Scores that a peer's own code recorded."""
    read: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return read
