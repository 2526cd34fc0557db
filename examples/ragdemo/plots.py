"""The report's pictures, as SVG that can stand inside an HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ragdemo.record import MEASURES, Record, mean

__all__ = ["found_plot", "gain_plot", "means_plot", "movement_plot"]

BEFORE, AFTER, WORSE = "#9aa5b1", "#2563eb", "#d97706"
_STYLE: dict[Any, Any] = {  # matplotlib types every key
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
    """Every relevant passage: its rank before against its rank after."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 3.9), layout="constrained")
        axes: Axes = figure.subplots()
        for grade, size, alpha in ((1, 9, 0.45), (2, 26, 0.7)):
            ranks = [
                (record.ranks_before[hit.passage], rank)
                for record in records
                for rank, hit in enumerate(record.after, 1)
                if record.grades.get(hit.passage) == grade
            ]
            axes.scatter(
                [before for before, _ in ranks],
                [after for _, after in ranks],
                s=size,
                alpha=alpha,
                linewidths=0,
                color=[AFTER if after <= before else WORSE for before, after in ranks],
            )
        last = max((len(record.before) for record in records), default=1)
        axes.plot([1, last], [1, last], color=BEFORE, linewidth=0.8)
        axes.set_xlabel("rank in Chroma")
        axes.set_ylabel("rank after reranking")
        axes.set_xlim(0, last + 1)
        axes.set_ylim(last + 1, 0)
        return _svg(figure, "movement")


def found_plot(records: Sequence[Record]) -> str:
    """How much of what is relevant stands among the first k, before and after."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 3.9), layout="constrained")
        axes: Axes = figure.subplots()
        last = max((len(record.before) for record in records), default=1)
        total = sum(grade > 0 for record in records for grade in record.grades.values())
        for name, colour, label in (
            ("before", BEFORE, "Chroma's order"),
            ("after", AFTER, "reranked"),
        ):
            found = [
                sum(
                    record.grades.get(hit.passage, 0) > 0
                    for record in records
                    for hit in getattr(record, name)[:k]
                )
                for k in range(1, last + 1)
            ]
            shares = [count / max(total, 1) for count in found]
            axes.plot(range(1, last + 1), shares, color=colour, linewidth=2, label=label)
        axes.axvline(5, color="#52606d", linewidth=0.8, linestyle=":")
        note = axes.text(5.6, 0.02, "the LLM sees the first 5", fontsize=9, color="#52606d")
        note.set_in_layout(False)  # it may stick out where there are few candidates
        axes.set_xlim(0, last + 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("first k passages")
        axes.set_ylabel("share of the relevant passages")
        axes.legend(frameon=False, loc="lower right")
        return _svg(figure, "found")


def _svg(figure: Figure, name: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Several pictures share one page: their ids must not meet.
    for pattern in (r'(\bid=")', r'(\bxlink:href="#)', r"(\burl\(#)"):
        svg = re.sub(pattern, rf"\1{name}-", svg)
    return svg
