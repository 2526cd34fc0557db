"""A cascade: a cheap scorer reads all texts, a strong one the best of them."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path

from rag_rerankers.cancellation import check_cancelled
from rag_rerankers.ranking import Calibration, calibration_of, check_scores, order, relevance_of
from rag_rerankers.types import CalibratedScores, Scorer

__all__ = ["DEFAULT_KEEP", "CascadeScorer", "check_keep", "stage_names"]

DEFAULT_KEEP = 15

_LARGEST = sys.float_info.max
# What a stage calls worthless is still placed: the logarithm of 0 is nowhere.
_LEAST = 1e-9
# Neighbours differ by this much, so that the order survives float32 and trec_eval.
_STEP = 1e-6


class CascadeScorer:
    """Scores all texts with the first stage, and the best of each stage with the next.

    **One ranking.** Every text that reached a later stage scores above every one that did not;
    within a stage the order is that stage's own, its ties included. Of texts that tie at the
    border, the first in the input go on.

    **Scores.** Those of the last stage are its raw scores. A text that an earlier stage read last
    gets a place on the last stage's scale: with ``low`` the lowest score that the later stage gave
    in this call, and ``relevance`` what the earlier stage's calibration makes of its own score::

        score = the score that the later stage calls relevance(text) * relevance(low)

    but at least a millionth (of ``low``, where that is above 1) below ``low`` and below whatever
    the earlier stage ranks before it. Three stages are a cascade of two, followed by the third.

    **Relevance** is the last stage's calibration of these scores: exactly its own for the texts
    that it read. For the others it is the product above: what the earlier stage thinks of the
    text, discounted by the worst text that the later stage read. It is less than either, as nobody
    better has vouched for the text: a ``threshold`` keeps it only if both are high, which tells
    that ``keep`` is small. Like every place, it belongs to one call: it depends on the other texts.

    A stage that would not choose, because all that it would read goes on anyway, is not asked: with
    up to ``keep`` texts the scores are those of the strong model alone. Only where a later stage's
    scores leave no room below (-inf does) are its lowest ones raised to the lowest that do.

    Args:
        stages: Two or more scorers, the cheapest first.
        keep: How many texts go on: one number for each step after the first stage, or one for all.

    Attributes:
        stages: The scorers.
        keep: One number for each step.

    Raises:
        TypeError: A stage is no scorer, or ``keep`` is no int.
        ValueError: Fewer than two stages; ``keep`` has a wrong length, grows or is below 1.

    Example:
        >>> class Length:
        ...     def score(self, query, texts):
        ...         return [float(len(text)) for text in texts]
        >>> class Capitals:
        ...     def score(self, query, texts):
        ...         return [float(sum(map(str.isupper, text))) for text in texts]
        >>> cascade = CascadeScorer([Length(), Capitals()], keep=2)
        >>> [round(score, 2) for score in cascade.score("any", ["A", "bbb", "CCcc", ""])]
        [-0.55, 0.0, 2.0, -1.1]
    """

    def __init__(self, stages: Sequence[Scorer], keep: int | Sequence[int] = DEFAULT_KEEP) -> None:
        self.stages = tuple(stages)
        self.keep = check_keep(keep, len(self.stages))
        for number, stage in enumerate(self.stages):
            if not isinstance(stage, Scorer) or isinstance(stage, type):
                raise TypeError(
                    f"stage {number} must be an object with a score method, not {stage!r:.100}. "
                    "Reranker.cascade takes names and ready Rerankers"
                )

    def __repr__(self) -> str:
        names = ", ".join(type(stage).__name__ for stage in self.stages)
        return f"{type(self).__name__}([{names}], keep={list(self.keep)})"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score per text, in the order of ``texts``.

        Raises:
            ScoreError: A stage returned NaN; the message names the indices in ``texts``.
        """
        texts = list(texts)
        if not texts:
            return []
        (stage, _), *steps = self._steps(len(texts))
        answer: Sequence[float] = stage.score(query, texts)
        scores = check_scores(answer, len(texts))
        calibration = calibration_of(stage, query, answer)
        for stage, keep in steps:
            check_cancelled()
            best = sorted(order(scores)[:keep])
            answer = stage.score(query, [texts[i] for i in best])
            read = dict(zip(best, check_scores(answer, keep, best), strict=True))
            after = calibration_of(stage, query, answer)
            scores = _joined(scores, calibration, read, after)
            calibration = after
        if isinstance(answer, CalibratedScores):  # only here it is known what they mean
            return CalibratedScores(scores, calibration(scores))
        return scores

    def relevance(self, query: str, scores: Sequence[float]) -> list[float]:
        """The last stage's calibration; see the class for what it means of texts not read by it."""
        return relevance_of(self.stages[-1], query, scores)

    def _steps(self, n_texts: int) -> list[tuple[Scorer, int]]:
        """The stages that are asked, and how many texts each reads."""
        steps = [(self.stages[0], n_texts)]
        for stage, keep in zip(self.stages[1:], self.keep, strict=True):
            _, n_read = steps[-1]
            if keep >= n_read:
                steps.pop()  # all that it would read goes on, and is ranked anew
            steps.append((stage, min(keep, n_read)))
        return steps


def check_keep(keep: int | Sequence[int], n_stages: int) -> tuple[int, ...]:
    """One number for each step from a stage to the next.

    Raises:
        TypeError: It is no int and no list of ints.
        ValueError: There are fewer than two stages, or the numbers do not fit them.

    Example:
        >>> check_keep(15, 2), check_keep(15, 3), check_keep([50, 10], 3)
        ((15,), (15, 15), (50, 10))
    """
    if n_stages < 2:
        raise ValueError(
            f"a cascade needs two or more models, the cheapest first, but has {n_stages}: "
            "for one alone there is Reranker(model)"
        )
    several = isinstance(keep, Sequence) and not isinstance(keep, (str, bytes))
    given: list[object] = list(keep) if several else [keep] * (n_stages - 1)  # type: ignore[arg-type]
    numbers: list[int] = []
    for number in given:
        if isinstance(number, bool) or not isinstance(number, Integral):
            raise TypeError(
                f"keep must be an int, or a list with one for each step, not {keep!r:.100}"
            )
        if int(number) < 1:
            raise ValueError(f"keep must be 1 or more (how many texts go on), not {keep!r:.100}")
        numbers.append(int(number))
    if len(numbers) != n_stages - 1:
        raise ValueError(
            f"keep has {len(numbers)} numbers ({keep!r:.100}), but {n_stages} models need "
            f"{n_stages - 1}: one for each step after the first"
        )
    if numbers != sorted(numbers, reverse=True):
        raise ValueError(
            f"keep must not grow from step to step, but is {keep!r:.100}: a later model reads "
            "only what an earlier one has read"
        )
    return tuple(numbers)


def stage_names(model: str) -> list[str]:
    """The models of a cascade that is written as text; none if it is a single model.

    Example:
        >>> stage_names("colbertv2 > bge-reranker-v2-m3"), stage_names("colbertv2")
        (['colbertv2', 'bge-reranker-v2-m3'], [])
    """
    if ">" not in model or Path(model).exists():
        return []
    return [name.strip() for name in model.split(">")]


def _joined(
    scores: Sequence[float], before: Calibration, read: Mapping[int, float], after: Calibration
) -> list[float]:
    """What the stage after gave to the texts that it read; below that, places for the others.

    Args:
        scores: Those of the stage that read all texts.
        before: Its calibration.
        read: The scores of the stage that read the best of them, by the texts' indices.
        after: The calibration of that one.
    """
    low = min(read.values())
    # One place for each score, so that ties stay ties.
    rest = sorted({score for i, score in enumerate(scores) if i not in read}, reverse=True)
    (worst,) = after([low])
    targets = [worst * max(value, _LEAST) for value in before(rest)]
    places = []
    above = low
    for place in _inverse(targets, low, after):
        above = min(place, _below(above))
        places.append(above)
    levels = sorted(set(read.values()), reverse=True)
    raised = _with_room([*levels, *places])
    level_of = dict(zip(levels, raised, strict=False))
    place_of = dict(zip(rest, raised[len(levels) :], strict=True))
    return [level_of[read[i]] if i in read else place_of[score] for i, score in enumerate(scores)]


def _inverse(targets: Sequence[float], high: float, calibration: Calibration) -> list[float]:
    """Scores up to ``high`` that a calibration maps to the targets, by bisection.

    Over the floats themselves instead of their values: that takes about 40 steps on any scale,
    whether of logits, sums or infinities. What no calibration was made for (below -1024, or twice
    a lower ``high``) is not tried: a naive ``exp`` would overflow.
    """
    lows = [_rank(min(-1024.0, 2.0 * high))] * len(targets)
    highs = [_rank(high)] * len(targets)
    while any(up - low > 2**20 for low, up in zip(lows, highs, strict=True)):  # 2**-32 of a value
        middles = [(low + up) // 2 for low, up in zip(lows, highs, strict=True)]
        for i, relevance in enumerate(calibration(_floats(middles))):
            (lows if relevance <= targets[i] else highs)[i] = middles[i]
    return _floats(lows)


def _rank(value: float) -> int:
    """The place of a float among all floats; 0 for 0.0."""
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else -(bits & (2**63 - 1))


def _floats(ranks: Sequence[int]) -> list[float]:
    bits = [rank if rank >= 0 else -rank - 2**63 for rank in ranks]
    return list(struct.unpack(f"<{len(bits)}d", struct.pack(f"<{len(bits)}q", *bits)))


def _below(value: float) -> float:
    return _LARGEST if value == math.inf else value - _STEP * max(1.0, abs(value))


def _with_room(levels: list[float]) -> list[float]:
    """Falling numbers; those at the end of the scale are raised until they are finite and apart."""
    raised = [max(levels[-1], -_LARGEST)] if levels else []
    for level in reversed(levels[:-1]):
        under = raised[-1]
        raised.append(level if level > under else under + _STEP * max(1.0, abs(under)))
    return raised[::-1]
