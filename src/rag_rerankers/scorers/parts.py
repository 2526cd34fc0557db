"""Texts in parts: while one is computed the next is tokenized, and no more than these are held."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from rag_rerankers.engine import Job
from rag_rerankers.engine.memory import give_back
from rag_rerankers.windows import Passages, best_per_document

__all__ = ["Scored", "Scores", "Started", "number_of_parts", "score_in_parts"]

Scores = tuple[list[int], torch.Tensor]
"""Passages, and their scores, shape (passages,), float32."""

# On an accelerator tokenization takes about as long as the model; on a CPU, a hundredth of it.
_TEXTS = {"cpu": 256}
_TEXTS_ELSEWHERE = 32
_AHEAD = 2


class Started(NamedTuple):
    """A part that is being computed.

    Attributes:
        passages: What was made of its texts.
        job: Gives every passage's score once, not always with the batch that computed it.
    """

    passages: Passages
    job: Job[Scores]


class Scored(NamedTuple):
    """One score for each text, and how many texts were cut."""

    scores: list[float]
    n_cut: int


def number_of_parts(texts: Sequence[str], device: torch.device) -> int:
    """In how many :func:`score_in_parts` divides them."""
    return -(-len(texts) // _TEXTS.get(device.type, _TEXTS_ELSEWHERE))


def score_in_parts(
    texts: Sequence[str], start: Callable[[Sequence[str]], Started], device: torch.device
) -> Scored:
    """Score texts part by part.

    Args:
        texts: All of them.
        start: Tokenizes a part and begins to compute it.
        device: Where it is computed.
    """
    size = _TEXTS.get(device.type, _TEXTS_ELSEWHERE)
    scores: list[float] = []
    n_cut = 0
    started: deque[Started] = deque()
    try:
        for first in range(0, len(texts), size):
            started.append(start(texts[first : first + size]))
            n_cut += started[-1].passages.n_cut
            if len(started) > _AHEAD:
                scores += _finish(started.popleft())
                give_back()
        while started:
            scores += _finish(started.popleft())
    finally:
        for _, job in started:
            job.close()
    return Scored(scores, n_cut)


def _finish(started: Started) -> list[float]:
    passages, job = started
    scores = [0.0] * len(passages.ids)
    with job:
        for _, (indices, found) in job:
            for index, score in zip(indices, found.tolist(), strict=True):
                scores[index] = score
    return best_per_document(scores, passages)
