"""Pictures of one model, query by query: movement of relevant passages, gains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rag_rerankers.evaluation.report.movement import Move, Moves, lowest_grade, moves
from rag_rerankers.evaluation.report.plot import SAME, Plot, direction
from rag_rerankers.evaluation.report.svg import (
    AMBER_INK,
    BLUE,
    FEATURE,
    GREY,
    PAPER,
    SOFT,
    as_svg,
    axes_in,
    canvas,
    rank_axis,
)
from rag_rerankers.evaluation.report.words import counted, number, short, signed
from rag_rerankers.evaluation.results import Evaluation, Gain, System
from rag_rerankers.extras import needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["gain_plot", "movement_plot"]

_MOST_DOTS = 900
_MOST_BARS = 280
_TIP = 110
_TOLD = 3


def movement_plot(evaluation: Evaluation, model: System, name: str) -> Plot:
    """The rank of every relevant retrieved passage, before and after.

    Args:
        evaluation: What was found out.
        model: One of its models.
        name: Begins all ids of the picture.
    """
    found = moves(evaluation, model)
    dots = _dots(found.moves)
    last = max((max(move.before or 1, move.after or 1) for move in found.moves), default=1)
    total = len(found.moves)
    with canvas():
        figure, axes = axes_in(4.3, top=0.55)
        rank_axis(axes, "x", last)
        rank_axis(axes, "y", last)
        near, far = (0.85, last * 1.18) if last > 15 else (0.5, last + 0.5)
        axes.set_xlim(near, far)
        axes.set_ylim(far, near)
        axes.grid(visible=True)
        axes.plot([near, far], [near, far], color=GREY, linewidth=0.9)
        most = max((len(dot) for dot in dots), default=1)
        # Area by number; the largest must not hide its neighbours.
        unit = min(26.0, 420 / math.sqrt(most))
        points = axes.scatter(
            [_middle(move.before for move in dot) for dot in dots],
            [_middle(move.after for move in dot) for dot in dots],
            s=[unit * math.sqrt(len(dot)) for dot in dots],
            color=[direction(dot[0].places) for dot in dots],
            alpha=0.62,
            edgecolors=PAPER,
            linewidths=0.5,
            zorder=3,
            clip_on=False,
        )
        points.set_gid("moves")
        axes.set_xlabel(f"rank in {short(evaluation.first.name, 30)}")
        axes.set_ylabel("rank after reranking")
        _headline(
            axes,
            [
                (f"▲ {found.rose:,} rose", _share(found.rose, total), BLUE),
                (f"▼ {found.fell:,} fell", _share(found.fell, total), AMBER_INK),
                (f"● {found.stayed:,} stayed", _share(found.stayed, total), SOFT),
            ],
        )
        tips = {"moves": [_move_tip(evaluation, dot) for dot in dots]} if dots else {}
        gist = (
            f"{model.name}: of {counted(total, 'relevant passage')}, {found.rose:,} rose, "
            f"{found.fell:,} fell, {found.stayed:,} stayed."
        )
        svg = as_svg(figure, name, gist, tips)
    return Plot("Where relevant passages went", _movement_note(evaluation, found), svg)


def gain_plot(evaluation: Evaluation, model: System, name: str) -> Plot:
    """The change of the main measure for every query, from the greatest gain to the worst loss.

    Args:
        evaluation: What was found out.
        model: One of its models.
        name: Begins all ids of the picture.
    """
    measure = evaluation.measures[0]
    gains = evaluation.gains(model)
    bars = _bars(gains)
    better = sum(gain.change > SAME for gain in gains)
    worse = sum(gain.change < -SAME for gain in gains)
    with canvas():
        collections = needed("matplotlib.collections", FEATURE)
        figure, axes = axes_in(4.3, top=0.55)
        changes = [bar[len(bar) // 2].change for bar in bars]
        reach = max(0.1, *(abs(change) for change in changes))
        low = -reach if min(changes) < 0 else -0.15 * reach
        high = reach if max(changes) > 0 else 0.15 * reach
        axes.set_ylim(1.04 * low, 1.04 * high)
        axes.set_xlim(-0.5 - 0.01 * len(bars), len(bars) - 0.5 + 0.01 * len(bars))
        axes.grid(axis="y")
        axes.axhline(0, color=GREY, linewidth=1)
        # Two collections in place of hundreds of artists: bars to see, and columns of the whole
        # height under the pointer.
        half = 0.43 if len(bars) <= 150 else 0.5
        drawn = collections.PolyCollection(
            [_column(x, half, 0, change) for x, change in enumerate(changes)],
            facecolors=[direction(change) for change in changes],
            linewidth=0,
        )
        columns = collections.PolyCollection(
            [_column(x, 0.5, low, high) for x in range(len(bars))],
            facecolor=BLUE,
            alpha=0,
            linewidth=0,
        )
        columns.set_gid("gains")
        axes.add_collection(drawn, autolim=False)
        axes.add_collection(columns, autolim=False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.set_xlabel(f"{counted(len(gains), 'query', 'queries')}, best to worst")
        same = len(gains) - better - worse
        _headline(
            axes,
            [
                (f"▲ {better:,} better", _share(better, len(gains)), BLUE),
                (f"▼ {worse:,} worse", _share(worse, len(gains)), AMBER_INK),
                (f"● {same:,} the same", _share(same, len(gains)), SOFT),
            ],
        )
        gist = (
            f"{model.name}, change of {measure}: {better:,} queries better, {worse:,} worse, "
            f"{same:,} the same."
        )
        svg = as_svg(figure, name, gist, {"gains": [_gain_tip(evaluation, bar) for bar in bars]})
    each = max(len(bar) for bar in bars)
    note = "One bar a query." if each == 1 else f"One bar for {each} queries: the middle one."
    return Plot(f"Change of {measure}, query by query", note, svg)


def _dots(found: Sequence[Move]) -> list[list[Move]]:
    """Moves between the same ranks together; between nearly the same ones, if there are many.

    The largest come first: smaller ones are drawn over them.
    """
    for finest in (1000.0, 12.0, 6.0, 3.0):
        cells: dict[tuple[int, int, int], list[Move]] = {}
        for move in found:
            sign = (move.places > 0) - (move.places < 0)
            key = (_bin(move.before or 1, finest), _bin(move.after or 1, finest), sign)
            cells.setdefault(key, []).append(move)
        if len(cells) <= _MOST_DOTS:
            break
    return sorted(cells.values(), key=len, reverse=True)


def _bin(rank: int, finest: float) -> int:
    """Ranks up to the finest stand alone, beyond it those of about the same size together."""
    if rank <= finest:
        return rank
    return int(finest * (1 + math.log(rank / finest)))


def _bars(gains: Sequence[Gain]) -> list[Sequence[Gain]]:
    each = math.ceil(len(gains) / _MOST_BARS)
    return [gains[start : start + each] for start in range(0, len(gains), each)]


def _column(x: float, half: float, low: float, high: float) -> list[tuple[float, float]]:
    return [(x - half, low), (x - half, high), (x + half, high), (x + half, low)]


def _middle(ranks: Iterable[int | None]) -> float:
    logs = [math.log(rank or 1) for rank in ranks]
    return math.exp(math.fsum(logs) / len(logs))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


def _headline(axes: Axes, parts: Sequence[tuple[str, str, str]]) -> None:
    """Three counts in a row over the axes, each over its share."""
    for (count, share, colour), (x, side) in zip(
        parts, ((0.0, "left"), (0.5, "center"), (1.0, "right")), strict=True
    ):
        style: dict[str, Any] = {
            "transform": axes.transAxes,
            "ha": side,
            "va": "bottom",
            "color": colour,
        }
        axes.text(x, 1.085, count, fontsize=10, fontweight="bold", **style)
        axes.text(x, 1.03, share, fontsize=9, **style)


def _move_tip(evaluation: Evaluation, dot: Sequence[Move]) -> str:
    lines = [
        f"rank {move.before} → {move.after} (grade {move.grade}): "
        f"{_question(evaluation, move.query)}"
        for move in dot[:_TOLD]
    ]
    more = len(dot) - len(lines)
    return "\n".join([*lines, f"and {more:,} more"] if more else lines)


def _gain_tip(evaluation: Evaluation, bar: Sequence[Gain]) -> str:
    gain = bar[len(bar) // 2]
    more = f"\nand {len(bar) - 1} with about the same" if len(bar) > 1 else ""
    return (
        f"{number(gain.before)} → {number(gain.after)} ({signed(gain.change)})\n"
        f"{_question(evaluation, gain.query)}{more}"
    )


def _question(evaluation: Evaluation, query: str) -> str:
    return short(evaluation.collection.queries.get(query, query), _TIP)


def _movement_note(evaluation: Evaluation, found: Moves) -> str:
    lowest = lowest_grade(evaluation)
    parts = ["Above the line: nearer to the top than before. Larger dots: more passages."]
    if lowest > 1:
        parts.append(f"Relevant: grade {lowest} and more.")
    if found.missed:
        parts.append(f"{counted(found.missed, 'relevant passage')} not among the candidates.")
    return " ".join(parts)
