"""A picture with its words, and what all pictures share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice

from rag_rerankers.evaluation.report.svg import AMBER, AMBER_INK, BLUE, GREY, MODELS, SOFT, clean
from rag_rerankers.evaluation.report.words import short_names
from rag_rerankers.evaluation.results import Evaluation

__all__ = ["SAME", "Plot", "direction", "model_colours", "plot_names"]

SAME = 1e-9
"""Smaller changes are rounding."""


@dataclass(frozen=True)
class Plot:
    """A picture with what stands over it.

    Attributes:
        title: What it shows.
        note: How to read it.
        svg: The picture.
    """

    title: str
    note: str
    svg: str


def plot_names(evaluation: Evaluation) -> list[str]:
    """Short names of the first stage and the models."""
    return short_names([clean(system.name) for system in evaluation.systems])


def model_colours(n: int) -> list[str]:
    """A colour for each model."""
    return list(islice(cycle(MODELS), n))


def direction(change: float, *, ink: bool = False) -> str:
    """The colour of a change: of its mark, or of a text on paper, which needs more contrast."""
    if abs(change) <= SAME:
        return SOFT if ink else GREY
    return BLUE if change > 0 else (AMBER_INK if ink else AMBER)
