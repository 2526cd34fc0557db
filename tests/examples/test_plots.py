from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from ragdemo import plots
from ragdemo.plots import AFTER, WORSE, found_plot, gain_plot, means_plot, movement_plot
from ragdemo.record import Hit, Record

PLOTS = (means_plot, gain_plot, movement_plot, found_plot)


def record(before: str, after: str, grades: dict[str, int], change: float = 0.25) -> Record:
    def hits(ids: str) -> tuple[Hit, ...]:
        return tuple(Hit(ident, "t", "s", 0.5) for ident in ids)

    return Record(
        id="q",
        question="Why?",
        kind="paraphrase",
        grades=grades,
        before=hits(before),
        after=hits(after),
        measures_before={"MRR@10": 0.25, "nDCG@10": 0.5, "P@5": 0.125},
        measures_after={"MRR@10": 0.75, "nDCG@10": 0.5 + change, "P@5": 0.375},
        seconds={"retrieve": 0.1, "rerank": 0.2},
    )


RECORDS = [
    record("abcd", "bcda", {"b": 2, "d": 1, "a": 1}, change=0.3),
    record("wxyz", "xwyz", {"x": 1, "y": 0}, change=-0.1),
    record("wxyz", "wxyz", {"w": 2, "gone": 2}, change=0.0),
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Figure]:
    """The figure behind a plot."""
    kept: list[Figure] = []

    def keep(figure: Figure, _: str) -> str:
        kept.append(figure)
        return ""

    def draw(plot: Callable[[Sequence[Record]], str], records: Sequence[Record]) -> Figure:
        plot(records)
        return kept[-1]

    monkeypatch.setattr(plots, "_svg", keep)
    return draw


def test_means(drawn: Callable[..., Figure]) -> None:
    records = [record("a", "a", {"a": 1}, change=0.2), record("a", "a", {"a": 1}, change=0.4)]
    axes = drawn(means_plot, records).axes[0]

    assert [label.get_text() for label in axes.texts] == [
        *("0.250", "0.500", "0.125"),
        *("0.750", "0.800", "0.375"),
    ]
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights[0] == pytest.approx([0.25, 0.5, 0.125])
    assert heights[1] == pytest.approx([0.75, 0.8, 0.375])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["MRR@10", "nDCG@10", "P@5"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "Chroma's order",
        "reranked",
    ]


def test_gains_from_worst_to_best(drawn: Callable[..., Figure]) -> None:
    axes = drawn(gain_plot, RECORDS).axes[0]

    assert [bar.get_height() for bar in axes.patches] == pytest.approx([-0.1, 0.0, 0.3])
    colours = [colour(bar.get_facecolor()) for bar in axes.patches]
    assert colours == [WORSE, AFTER, AFTER]
    assert axes.get_xlabel() == "3 questions, worst to best"


def test_movement_of_each_relevant_passage(drawn: Callable[..., Figure]) -> None:
    axes = drawn(movement_plot, RECORDS).axes[0]
    helpful, answering = axes.collections

    # (before, after): d 4 -> 3, a 1 -> 4, x 2 -> 1; then b 2 -> 1, w 1 -> 1.
    assert [tuple(dot) for dot in helpful.get_offsets()] == [(4, 3), (1, 4), (2, 1)]
    assert [tuple(dot) for dot in answering.get_offsets()] == [(2, 1), (1, 1)]
    assert [colour(c) for c in helpful.get_facecolors()] == [AFTER, WORSE, AFTER]
    assert [colour(c) for c in answering.get_facecolors()] == [AFTER, AFTER]
    assert axes.get_ylim() == (5, 0)  # rank 1 on top


def test_share_of_what_is_relevant(drawn: Callable[..., Figure]) -> None:
    axes = drawn(found_plot, RECORDS).axes[0]
    before, after = axes.lines[:2]

    # Relevant: a, b, d; x; w and one that Chroma did not find: six.
    assert list(before.get_ydata()) == pytest.approx([2 / 6, 4 / 6, 4 / 6, 5 / 6])
    assert list(after.get_ydata()) == pytest.approx([3 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert list(before.get_xdata()) == [1, 2, 3, 4]


@pytest.mark.parametrize("plot", PLOTS)
def test_svg_stands_alone(plot: Callable[[Sequence[Record]], str]) -> None:
    root = ElementTree.fromstring(plot(RECORDS))

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    ids = all_ids(root)
    assert len(ids) == len(set(ids)) > 0
    references = re.findall(r"url\(#([^)]+)\)", plot(RECORDS)) + [
        element.attrib[HREF].removeprefix("#") for element in root.iter() if HREF in element.attrib
    ]
    assert references
    assert set(references) <= set(ids)


def test_ids_of_different_plots_do_not_meet() -> None:
    ids = [ident for plot in PLOTS for ident in all_ids(ElementTree.fromstring(plot(RECORDS)))]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("records", [[record("a", "a", {})], [record("", "", {"a": 2})]])
def test_little_to_draw(plot: Callable[[Sequence[Record]], str], records: list[Record]) -> None:
    ElementTree.fromstring(plot(records))


@pytest.mark.parametrize("plot", PLOTS)
def test_same_records_same_bytes(plot: Callable[[Sequence[Record]], str]) -> None:
    assert plot(RECORDS) == plot(RECORDS)


HREF = "{http://www.w3.org/1999/xlink}href"


def all_ids(root: ElementTree.Element) -> list[str]:
    return [element.attrib["id"] for element in root.iter() if "id" in element.attrib]


def colour(rgba: Any) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgba[:3])
