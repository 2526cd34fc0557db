"""Draws the results as SVG files for the pages; the same results make the same bytes."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.compared import Row, rows
from benchmarks.contestants import OURS
from benchmarks.figures import line
from benchmarks.models import TITLES
from benchmarks.places import images_of
from benchmarks.store import Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["DRAWINGS", "draw"]

MODEL = "bge"
OURS_COLOR, BEST_COLOR, DEFAULT_COLOR = "#c0392b", "#34607f", "#a9bccb"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "rag-rerankers",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    # matplotlib's own colours but for red, which is this project's.
    "axes.prop_cycle": "cycler('color', ['1f77b4', 'ff7f0e', '2ca02c', '9467bd', '8c564b', "
    "'e377c2', '7f7f7f', 'bcbd22', '17becf'])",
}


def draw(store: Store, folder: Path | None = None) -> list[Path]:
    """Write every drawing that there are results for, named after the results."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    written = []
    folder = folder or images_of(store.path)
    folder.mkdir(parents=True, exist_ok=True)
    for name, fill in DRAWINGS.items():
        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=(7.2, 4.2), layout="constrained")
            axes = figure.add_subplot()
            path = folder / f"{store.path.stem}-{name}.svg"
            if not fill(axes, store):
                path.unlink(missing_ok=True)
                continue
            if name == "throughput":  # a line of text a bar
                figure.set_figheight(1.2 + 0.26 * len(axes.get_yticks()))
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        # matplotlib leaves blanks at the ends of lines, which git and editors take offence at.
        path.write_text(re.sub(r"[ \t]+\n", "\n", path.read_text("utf-8")), "utf-8")
        written.append(path)
    return written


def _candidates(axes: Axes, store: Store) -> bool:
    """Seconds over candidates: this project at each dtype, the others at their best."""
    from matplotlib.ticker import LogLocator

    series: dict[tuple[str, str], list[tuple[int, Row]]] = {}
    for size, part in store.under(f"cpu/{MODEL}"):
        for row in rows(part):
            if row.peer == OURS:
                series.setdefault((row.name, row.dtype), []).append((int(size), row))
            elif "best" in row.roles:
                series.setdefault((row.name, ""), []).append((int(size), row))
    if len({size for points in series.values() for size, _ in points}) < 2:
        return False  # a point is no curve
    for (name, dtype), points in series.items():
        ours = points[0][1].peer == OURS
        x = [size for size, _ in points]
        y = [row.seconds.median for _, row in points]
        axes.plot(
            x,
            y,
            marker="o",
            markersize=4,
            linewidth=2 if ours else 1.2,
            color=OURS_COLOR if ours else None,
            linestyle={"int8": "-", "bfloat16": "--", "float32": ":"}.get(dtype, "-"),
            label=f"{name}, {dtype}" if ours else f"{name}, best",
        )
    axes.set(xscale="log", yscale="log", xlabel="candidates", ylabel="seconds of a call")
    sizes = sorted({size for points in series.values() for size, _ in points})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_title(TITLES[MODEL], loc="left")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return True


def _tokens(axes: Axes, store: Store) -> bool:
    """Seconds over tokens, with the straight line that fits best."""
    parts = [(model, part) for model, part in store.under("linearity") if "points" in part]
    for model, part in parts:
        x = [point["tokens"] for point in part["points"]]
        y = [statistics.median(point["seconds"]) for point in part["points"]]
        fitted = line(x, y)
        (dots,) = axes.plot(x, y, "o", markersize=4)
        ends = [0, max(x)]
        axes.plot(
            ends,
            [fitted.intercept + fitted.slope * end for end in ends],
            color=dots.get_color(),
            linewidth=1.2,
            label=f"{model}: {fitted.slope * 1e6:,.1f} ms per 1,000 tokens, r² {fitted.r2:.4f}",
        )
    if parts:
        axes.set(xlabel="tokens of all candidates", ylabel="seconds of a call", ylim=(0, None))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.legend(loc="upper left")
    return bool(parts)


def _callers(axes: Axes, store: Store) -> bool:
    """Throughput over callers, and that of one caller with all the texts."""
    parts = [(model, part) for model, part in store.under("concurrency") if "runs" in part]
    for model, part in parts:
        rate = {
            name: run["texts"] / statistics.median(run["seconds"])
            for name, run in part["runs"].items()
        }
        steps = sorted(int(name.partition("/")[2]) for name in rate if name.startswith("threads/"))
        (drawn,) = axes.plot(
            steps,
            [rate[f"threads/{callers}"] for callers in steps],
            marker="o",
            markersize=4,
            label=f"{model}, {part['each']} candidates a call",
        )
        axes.axhline(
            rate["one caller"],
            color=drawn.get_color(),
            linestyle="--",
            linewidth=1,
            label=f"{model}, one caller with {part['each'] * part['callers']}",
        )
        axes.set_xscale("log")
        axes.set_xticks(steps, [str(callers) for callers in steps])
    if parts:
        axes.minorticks_off()
        axes.set(xlabel="callers at a time", ylabel="texts a second")
        axes.set_ylim(0, 1.08 * axes.dataLim.y1)
        axes.legend(loc="lower right")
    return bool(parts)


def _throughput(axes: Axes, store: Store) -> bool:
    """Texts a second at 50 candidates: a bar for everybody's defaults and one for the best."""
    part = store.get(f"cpu/{MODEL}/50")
    if part is None:
        return False
    bars = list(_bars(rows(part), part["candidates"]))[::-1]
    for at, (_, rate, color) in enumerate(bars):
        axes.barh(at, rate, color=color, height=0.7)
        axes.annotate(
            f"{rate:.2f}", (rate, at), xytext=(3, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(bars)), [label for label, _, _ in bars])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="texts a second, 50 candidates")
    # Above the names of the bars too: above the axes alone there is no room for it.
    axes.get_figure().suptitle(TITLES[MODEL], x=0.01, ha="left", fontsize="medium")  # type: ignore[union-attr]
    return True


def _bars(found: list[Row], candidates: int) -> Iterator[tuple[str, float, str]]:
    for row in found:
        rate = candidates / row.seconds.median
        if row.peer == OURS:
            yield f"{row.name}, {row.dtype}", rate, OURS_COLOR
        elif "best" in row.roles and "defaults" in row.roles:
            yield f"{row.name}, defaults (its best)", rate, BEST_COLOR
        elif "best" in row.roles:
            yield f"{row.name}, {row.config}", rate, BEST_COLOR
        elif "defaults" in row.roles:
            yield f"{row.name}, defaults", rate, DEFAULT_COLOR


DRAWINGS: Mapping[str, Callable[[Axes, Store], bool]] = {
    "candidates": _candidates,
    "tokens": _tokens,
    "callers": _callers,
    "throughput": _throughput,
}
