"""Quality against latency, every model named beside its point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag_rerankers.evaluation.report.labels import Box, leader, place
from rag_rerankers.evaluation.report.plot import Plot, direction, model_colours, plot_names
from rag_rerankers.evaluation.report.svg import (
    FEATURE,
    GREY,
    PAPER,
    SOFT,
    as_svg,
    axes_in,
    canvas,
    plainly,
)
from rag_rerankers.evaluation.report.words import number, signed, span, verdict
from rag_rerankers.evaluation.results import Evaluation
from rag_rerankers.extras import needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["interval_plot", "tradeoff_plot"]

_LABEL = 9.5
_LATENCIES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6)


def tradeoff_plot(evaluation: Evaluation) -> Plot | None:
    """Quality against latency; None unless every model's latency is known."""
    costs = [model.cost for model in evaluation.models]
    known = [cost.query.p50 for cost in costs if cost is not None]
    if not known or len(known) < len(costs):
        return None
    measure = evaluation.measures[0]
    found = [evaluation.difference(measure, model.name) for model in evaluation.models]
    base = evaluation.first.mean(measure)
    names = plot_names(evaluation)
    colours = model_colours(len(found))
    with canvas():
        figure, axes = axes_in(3.4 + 0.1 * len(found))
        bottom = min(base, *(base + d.low for d in found))
        top = max(base, *(base + d.high for d in found))
        room = 0.14 * (top - bottom or 0.1)
        axes.set_ylim(bottom - room, top + room * (1 + 0.15 * len(found)))
        # Room for names, but no ticks where measures between 0 and 1 cannot be.
        lowest, highest = bottom - room, max(1.0, top)
        axes.set_yticks([y for y in axes.get_yticks() if max(lowest, 0) <= y <= highest + 1e-9])
        axes.set_ylim(bottom - room, top + room * (1 + 0.15 * len(found)))
        _latency_axis(axes, known)
        axes.axhline(base, color=GREY, linewidth=1.2, linestyle=(0, (4, 2)))
        for x, d, colour in zip(known, found, colours, strict=True):
            axes.vlines(x, base + d.low, base + d.high, color=colour, linewidth=2, alpha=0.55)
        points = axes.scatter(
            known,
            [d.after for d in found],
            s=64,
            color=colours,
            edgecolors=PAPER,
            linewidths=1.2,
            zorder=3,
        )
        points.set_gid("models")
        _point_labels(
            axes,
            [(x, d.after) for x, d in zip(known, found, strict=True)],
            [f"{name} {number(d.after)}" for name, d in zip(names[1:], found, strict=True)],
            [(base + d.low, base + d.high) for d in found],
            (f"{names[0]} {number(base)}", base),
            colours,
        )
        axes.set_xlabel("ms per query (median)")
        axes.set_ylabel(measure)
        axes.grid(axis="y")
        tips = [
            f"{model.name}\n{x:,.1f} ms per query\n{measure} {number(d.after)} "
            f"({signed(d.delta)}, 95 % interval {span(d.low, d.high)})"
            for model, x, d in zip(evaluation.models, known, found, strict=True)
        ]
        told = "; ".join(
            f"{model.name}: {number(d.after)} at {x:,.0f} ms"
            for model, x, d in zip(evaluation.models, known, found, strict=True)
        )
        gist = f"{measure} against latency. {evaluation.first.name}: {number(base)}; {told}."
        svg = as_svg(figure, "tradeoff", gist, {"models": tips})
    note = (
        "Higher is better, further left is faster. Bars: 95 % interval of the change, drawn from "
        f"{evaluation.first.name} (dashed)."
    )
    return Plot(f"{measure} against latency", note, svg)


def interval_plot(evaluation: Evaluation) -> Plot | None:
    """Each model's main measure with its interval: what is shown where latencies are unknown."""
    if not evaluation.models:
        return None
    measure = evaluation.measures[0]
    found = [evaluation.difference(measure, model.name) for model in evaluation.models]
    base = evaluation.first.mean(measure)
    names = plot_names(evaluation)
    with canvas():
        figure, axes = axes_in(0.42 * len(found) + 1.1, left=0.3)
        axes.axvline(base, color=GREY, linewidth=1.2, linestyle=(0, (4, 2)))
        for row, (d, name) in enumerate(zip(found, names[1:], strict=True)):
            colour = direction(d.delta)
            axes.hlines(row, base + d.low, base + d.high, color=colour, linewidth=2, alpha=0.55)
            axes.plot([d.after], [row], "o", color=colour, markersize=8)
            axes.text(
                d.after, row - 0.22, f"{name} {number(d.after)}", ha="center", va="bottom"
            ).set_in_layout(False)
        ends = [base, *(base + d.low for d in found), *(base + d.high for d in found)]
        room = 0.5 * (max(ends) - min(ends) or 0.1)
        axes.set_xlim(min(ends) - room, max(ends) + room)
        axes.set_ylim(len(found) - 0.6, -1)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{measure}; dashed: {names[0]} {number(base)}")
        gist = " ".join(verdict(evaluation, model) for model in evaluation.models)
        svg = as_svg(figure, "intervals", gist)
    note = f"Bars: 95 % interval of the change, drawn from {evaluation.first.name} (dashed)."
    return Plot(f"{measure} of each model", note, svg)


def _latency_axis(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if low > 0 and high > 10 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / 2, high * 2)
        ticks = [tick for tick in _LATENCIES if low / 2 <= tick <= high * 2]
        if len(ticks) > 7:
            ticks = [tick for tick in ticks if f"{tick:e}".startswith("1")]
        plainly(axes.xaxis, ticks)
    else:
        axes.set_xlim(0, (high or 1) * 1.3)


def _point_labels(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    bars: Sequence[tuple[float, float]],
    base: tuple[str, float],
    colours: Sequence[str],
) -> None:
    """Write each name beside its point, and the first stage's over its line."""
    to_points = axes.transData + axes.figure.dpi_scale_trans.inverted()
    at = [tuple(72 * to_points.transform(point)) for point in points]
    frame = axes.get_window_extent().transformed(axes.figure.dpi_scale_trans.inverted())
    bounds = Box(*(72 * side for side in (frame.x0, frame.y0, frame.x1, frame.y1)))
    line = 72 * to_points.transform((points[0][0], base[1]))[1]
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in at]
    for (x, _), (low, high) in zip(points, bars, strict=True):
        (left, bottom), (_, top) = (72 * to_points.transform((x, y)) for y in (low, high))
        taken.append(Box(left - 2, bottom, left + 2, top))
    taken.append(Box(bounds.left, line - 0.1, bounds.right, line + 0.1))
    sizes = [_size(text) for text in [*texts, base[0]]]
    anchors = [*at, (bounds.left + 4, line)]
    spots = place(anchors, sizes, taken, bounds, last_is_line=True)
    for text, box, anchor, colour in zip(
        [*texts, base[0]], spots, anchors, [*colours, SOFT], strict=True
    ):
        end = leader(anchor, box)
        if end is not None:
            axes.annotate(
                "",
                anchor,
                end,
                xycoords="figure points",
                textcoords="figure points",
                arrowprops={
                    "arrowstyle": "-",
                    "color": colour,
                    "linewidth": 0.8,
                    "shrinkA": 0,
                    "shrinkB": 5,
                },
            )
        axes.annotate(
            text,
            (box.left, (box.bottom + box.top) / 2),
            xycoords="figure points",
            va="center",
            color=colour,
            fontsize=_LABEL,
        )


def _size(text: str) -> tuple[float, float]:
    """Width and height in points."""
    path = needed("matplotlib.textpath", FEATURE).TextPath((0, 0), text, size=_LABEL)
    return float(path.get_extents().width) + 3, 13.0
