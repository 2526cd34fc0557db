"""The report's pictures, as SVG that can stand inside an HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ragdemo.record import MEASURES, Record, mean

__all__ = ["gain_plot", "means_plot", "movement_plot"]

BEFORE, AFTER, WORSE = "#9aa5b1", "#2563eb", "#d97706"
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa5b1",
    "axes.axisbelow": True,
    "svg.fonttype": "none",  # text stays text: it can be searched, and the file stays small
    "svg.hashsalt": "rag-rerankers",  # the same records give the same bytes
}


def means_plot(records: Sequence[Record]) -> str:
    """Mean of each measure, before and after."""
    before = mean(record.measures_before for record in records)
    after = mean(record.measures_after for record in records)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        axes: Axes = figure.subplots()
        for offset, values, colour, label in (
            (-0.19, before, BEFORE, "Chroma's order"),
            (0.19, after, AFTER, "reranked"),
        ):
            bars = axes.bar(
                [i + offset for i in range(len(MEASURES))],
                [values[name] for name in MEASURES],
                width=0.36,
                color=colour,
                label=label,
            )
            axes.bar_label(bars, fmt="%.3f", padding=2, fontsize=9)
        axes.set_xticks(range(len(MEASURES)), MEASURES)
        axes.set_ylim(0, 1.0)
        axes.legend(frameon=False, loc="upper right")
        return _svg(figure, "means")


def gain_plot(records: Sequence[Record]) -> str:
    """Change of nDCG@10 for each question, from the worst to the best."""
    gains = sorted(record.gain for record in records)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        axes: Axes = figure.subplots()
        colours = [AFTER if gain >= 0 else WORSE for gain in gains]
        axes.bar(range(len(gains)), gains, color=colours, width=0.85)
        axes.axhline(0, color="#52606d", linewidth=0.8)
        axes.set_xticks([])
        axes.set_xlabel(f"{len(gains)} questions, worst to best")
        axes.set_ylabel("change of nDCG@10")
        return _svg(figure, "gains")


def movement_plot(records: Sequence[Record]) -> str:
    """Where relevant passages stood before, and where they stand after."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.4, 3.6), layout="constrained")
        axes: Axes = figure.subplots()
        for record in records:
            ranks = record.ranks_before
            for rank, hit in enumerate(record.after, 1):
                grade = record.grades.get(hit.passage, 0)
                if not grade:
                    continue
                up = rank <= ranks[hit.passage]
                axes.plot(
                    [0, 1],
                    [ranks[hit.passage], rank],
                    color=AFTER if up else WORSE,
                    alpha=0.5 if grade == 2 else 0.2,
                    linewidth=1.6 if grade == 2 else 0.8,
                )
        axes.axhline(5.5, color="#52606d", linewidth=0.8, linestyle=":")
        axes.text(0.5, 5.2, "the LLM sees what is above", ha="center", fontsize=9, color="#52606d")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(51, 0)
        axes.set_xticks([0, 1], ["rank in Chroma", "rank after"])
        axes.set_yticks([1, 5, 10, 20, 30, 40, 50])
        return _svg(figure, "movement")


def _svg(figure: Figure, name: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Several pictures share one page: their ids must not meet.
    for pattern in (r'\bid="([^"]+)"', r'xlink:href="#([^"]+)"', r"url\(#([^)]+)\)"):
        svg = re.sub(pattern, lambda m: m[0].replace(m[1], f"{name}-{m[1]}"), svg)
    return svg
