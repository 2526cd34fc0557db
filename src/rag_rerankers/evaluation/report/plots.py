"""Pictures that compare systems: recall, agreement, groups of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING

from rag_rerankers.evaluation.report.movement import recall_curve
from rag_rerankers.evaluation.report.plot import Plot, direction, model_colours, plot_names
from rag_rerankers.evaluation.report.svg import (
    AMBER,
    BLUE,
    FEATURE,
    GREY,
    INK,
    SOFT,
    WIDTH,
    as_svg,
    axes_in,
    canvas,
    clean,
    rank_axis,
)
from rag_rerankers.evaluation.report.words import counted, number, short_names
from rag_rerankers.evaluation.results import Evaluation, System
from rag_rerankers.extras import needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["agreement_plots", "group_plot", "recall_plot"]

_DASHES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (6, 1.5, 1.5, 1.5)))
_SHOWN_GROUPS = 24
_KEY_DEPTH = 10


def recall_plot(evaluation: Evaluation) -> Plot:
    """Share of the relevant passages among the first k, for every k."""
    curves = [recall_curve(evaluation, system) for system in evaluation.systems]
    depth = min(_KEY_DEPTH, evaluation.top_k)
    ranks = range(1, evaluation.top_k + 1)
    colours = [GREY, *model_colours(len(curves) - 1)]
    dashes = ["-", *islice(cycle(_DASHES), len(curves) - 1)]
    ordered = sorted(range(len(curves)), key=lambda place: -curves[place][depth - 1])
    with canvas():
        height = 0.21 * (len(curves) + 1)
        figure, axes = axes_in(3.1 + height, top=0.15 + height)
        for curve, colour, dash in zip(curves, colours, dashes, strict=True):
            # A curve of one rank would be nothing but a point.
            marker = "o" if evaluation.top_k == 1 else None
            axes.plot(ranks, curve, color=colour, linewidth=2, linestyle=dash, marker=marker)
        rank_axis(axes, "x", evaluation.top_k)
        axes.set_xlim(0.95, max(evaluation.top_k, 1.1) * (1.03 if evaluation.top_k > 1 else 1))
        axes.set_ylim(0, max(0.05, *(max(curve) for curve in curves)) * 1.05)
        axes.axvline(depth, color=GREY, linewidth=0.8, linestyle=":")
        axes.grid(axis="y")
        axes.set_xlabel("first k passages")
        axes.set_ylabel("share of the relevant passages")
        names = plot_names(evaluation)
        _key(
            figure,
            axes,
            f"among the first {depth}:",
            [
                (f"{number(curves[at][depth - 1], 2)}  {names[at]}", colours[at], dashes[at])
                for at in ordered
            ],
        )
        told = ", ".join(
            f"{evaluation.systems[at].name} {number(curves[at][depth - 1], 2)}" for at in ordered
        )
        gist = f"Share of the relevant passages among the first k. At k = {depth}: {told}."
        svg = as_svg(figure, "recall", gist)
    note = "A curve that rises earlier needs fewer passages in the prompt."
    return Plot("Relevant passages among the first k", note, svg)


def agreement_plots(evaluation: Evaluation) -> list[Plot]:
    """Overlap and Kendall's tau of every two systems; nothing where there are two systems only."""
    pairs = evaluation.agreement
    if len(pairs) < 2:
        return []
    k = pairs[0].k
    return [
        _matrix(
            evaluation,
            "overlap",
            {(pair.first, pair.second): pair.overlap for pair in pairs},
            Plot(f"Overlap of the first {k}", f"Share of the first {k} that both have.", ""),
        ),
        _matrix(
            evaluation,
            "tau",
            {(pair.first, pair.second): pair.tau for pair in pairs},
            Plot(
                "Kendall's tau", "1: the same order; 0: no relation; \N{MINUS SIGN}1: reversed.", ""
            ),
        ),
    ]


def group_plot(evaluation: Evaluation, field: str, model: System, name: str) -> Plot:
    """The mean of each group of queries, before and after.

    Args:
        evaluation: What was found out.
        field: One of its groups.
        model: One of its models.
        name: Begins all ids of the picture.
    """
    members = evaluation.groups[field]
    measure = evaluation.measures[0]
    most = sorted(members, key=lambda label: -len(members[label]))[:_SHOWN_GROUPS]
    labels = [label for label in members if label in most]
    rows = [
        (evaluation.first.mean(measure, members[label]), model.mean(measure, members[label]))
        for label in labels
    ]
    shown = [
        f"{clean(label)} ({len(members[full]):,})"
        for label, full in zip(short_names(labels, 18), labels, strict=True)
    ]
    with canvas():
        figure, axes = axes_in(0.3 * len(rows) + 0.75, left=1.55, right=0.4, top=0.1)
        for row, (before, after) in enumerate(rows):
            colour, ink = direction(after - before), direction(after - before, ink=True)
            axes.plot([before, after], [row, row], color=colour, linewidth=2.5, alpha=0.5)
            axes.plot([before], [row], "o", color=GREY, markersize=7)
            axes.plot([after], [row], "o", color=colour, markersize=8)
            right = after >= before
            axes.annotate(
                number(after, 2),
                (after, row),
                (8 if right else -8, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                color=ink,
                fontsize=9,
            )
        # The same scale for every model: their pictures stand side by side.
        ends = [
            system.mean(measure, members[label])
            for system in evaluation.systems
            for label in labels
        ]
        room = 0.18 * (max(ends) - min(ends) or 0.1)
        axes.set_xlim(min(ends) - room, max(ends) + room)
        axes.set_ylim(len(rows) - 0.5, -0.6)
        axes.set_yticks(range(len(rows)), shown)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_xlabel(f"{measure}: grey before, coloured after")
        told = "; ".join(
            f"{label} {number(before)} to {number(after)}"
            for label, (before, after) in zip(labels, rows, strict=True)
        )
        svg = as_svg(figure, name, f"{measure} of {model.name} by {field}: {told}.")
    left_out = len(members) - len(labels)
    note = f"In brackets: queries. {counted(left_out, 'smaller group')} in the table only."
    return Plot(model.name, note if left_out else "In brackets: queries.", svg)


def _key(figure: Figure, axes: Axes, title: str, rows: Sequence[tuple[str, str, object]]) -> None:
    """Which curve is whose, from the highest to the lowest, over the axes."""
    lines = needed("matplotlib.lines", FEATURE)
    top = axes.get_window_extent().transformed(figure.dpi_scale_trans.inverted()).y1
    width, height = figure.get_size_inches()
    start = top + 0.12 + 0.21 * len(rows)
    figure.text(0.55 / width, start / height, title, fontsize=9, color=SOFT, va="center")
    for row, (text, colour, dash) in enumerate(rows, 1):
        y = (start - 0.21 * row) / height
        figure.add_artist(
            lines.Line2D(
                [0.55 / width, 0.9 / width], [y, y], color=colour, linewidth=2, linestyle=dash
            )
        )
        figure.text(1.0 / width, y, text, fontsize=9.5, color=INK, va="center")


def _matrix(
    evaluation: Evaluation, name: str, values: Mapping[tuple[str, str], float], plot: Plot
) -> Plot:
    systems = [system.name for system in evaluation.systems]
    n = len(systems)
    letters = [str(place) for place in range(1, n + 1)]
    cell = min(0.46, 2.75 / (n - 1))
    with canvas():
        patches = needed("matplotlib.patches", FEATURE)
        left = 1.8
        right = max(0.05, WIDTH - left - cell * (n - 1))
        figure, axes = axes_in(cell * (n - 1) + 0.4, left=left, right=right, top=0.32, foot=0.08)
        told = []
        for row in range(1, n):
            for column in range(row):
                value = values[systems[column], systems[row]]
                axes.add_patch(
                    patches.Rectangle(
                        (column + 0.03, row + 0.03),
                        0.94,
                        0.94,
                        # Half opaque at most: the ink on it stays legible.
                        facecolor=BLUE if value >= 0 else AMBER,
                        alpha=0.05 + 0.45 * min(abs(value), 1),
                        linewidth=0,
                    )
                )
                axes.text(
                    column + 0.5, row + 0.5, number(value, 2), ha="center", va="center", fontsize=9
                )
                told.append(f"{systems[column]} and {systems[row]} {number(value, 2)}")
        axes.set_xlim(0, n - 1)
        axes.set_ylim(n, 1)
        names = plot_names(evaluation)
        axes.set_yticks(
            [row + 0.5 for row in range(1, n)],
            [f"{name}  {letter}" for name, letter in zip(names[1:], letters[1:], strict=True)],
        )
        axes.set_xticks([column + 0.5 for column in range(n - 1)], letters[: n - 1])
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelcolor=INK)
        for spine in axes.spines.values():
            spine.set_visible(False)
        gist = f"{plot.title}: {'; '.join(told)}."
        svg = as_svg(figure, name, gist, kind="plot cells")
    first = f"1 is {evaluation.first.name}."
    return Plot(plot.title, f"{plot.note} {first}", svg)
