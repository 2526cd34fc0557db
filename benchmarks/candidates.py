"""Queries and candidates whose lengths are those of real chunks; the standard library only.

With the data, the texts are its own. Without, they are cut from Python's documentation to the same
lengths. Any number of candidates has the same distribution of lengths: each stands for a quantile.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["QUANTILES", "QUERY", "Candidates", "candidates", "pool", "short_candidates"]

QUERY = "How does the with statement release a resource when an exception is raised?"
# Characters of the chunks of ../shared/data/chroma-chunks: minimum, 5 %, 10 %, ..., maximum.
QUANTILES: tuple[int, ...] = (
    *(50, 624, 679, 708, 734, 752, 770, 786, 797, 807, 817),
    *(828, 837, 848, 855, 863, 871, 878, 884, 893, 1624),
)


class Candidates(NamedTuple):
    """What is scored.

    Attributes:
        query: The question.
        texts: The candidates.
    """

    query: str
    texts: list[str]


def candidates(count: int, *, offset: int = 0, data: Path | None = None) -> Candidates:
    """A query and so many texts, the same for the same arguments.

    Args:
        count: How many texts.
        offset: Another offset gives other texts of about the same lengths.
        data: A folder in BEIR layout; None cuts the texts from Python's documentation.
    """
    query, texts = pool(data)
    chosen = []
    for index in range(count):
        # The middle of this text's share of the distribution, shifted within the share.
        shift = (offset * 0.618 + 0.5) % 1
        at = min(len(texts) - 1, int((index + shift) / count * len(texts)))
        # Going round: more texts than there are get other cuts of the same length.
        chosen.append(_rotated(texts[at], offset + index % max(1, -(-count // len(texts)))))
    random.Random(count * 1009 + offset).shuffle(chosen)
    return Candidates(query, chosen)


def short_candidates(count: int, *, data: Path | None = None) -> list[str]:
    """So many different texts of a dozen words."""
    _, texts = pool(data)
    step = max(1, len(texts) // count)
    return [
        " ".join(_rotated(texts[index * step % len(texts)], index).split()[:12])
        for index in range(count)
    ]


@lru_cache(maxsize=2)
def pool(data: Path | None) -> tuple[str, Sequence[str]]:
    """A query, and texts from the shortest to the longest."""
    if data is None:
        return QUERY, sorted(_documentation(), key=len)
    with gzip.open(data / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    with (data / "queries.jsonl").open(encoding="utf-8") as lines:
        queries = [json.loads(line)["text"] for line in lines]
    return sorted(queries, key=len)[len(queries) // 2], sorted(filter(str.strip, texts), key=len)


def _documentation(count: int = 1000) -> list[str]:
    """Texts of the lengths in ``QUANTILES``."""
    from pydoc_data.topics import topics

    running = " ".join(" ".join(text.split()) for _, text in sorted(topics.items()))
    texts, at = [], 0
    for index in range(count):
        length = _length((index + 0.5) / count)
        if at + length > len(running):
            at = length // 3  # the second time round the cuts are others
        texts.append(running[at : at + length])
        at += length
    return texts


def _length(quantile: float) -> int:
    """Characters at a quantile, in a straight line between the known ones."""
    position = quantile * (len(QUANTILES) - 1)
    low = min(int(position), len(QUANTILES) - 2)
    return round(QUANTILES[low] + (position - low) * (QUANTILES[low + 1] - QUANTILES[low]))


def _rotated(text: str, words: int) -> str:
    """The text with some words moved from its front to its end."""
    parts = text.split(" ")
    turn = words * 7 % len(parts)
    return " ".join(parts[turn:] + parts[:turn])
