"""Figures of matplotlib as SVG that lives inside a page: themed, tagged, with tooltips."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

from rag_rerankers.extras import needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "AMBER",
    "AMBER_INK",
    "BLUE",
    "GREY",
    "INK",
    "LINE",
    "MODELS",
    "PAPER",
    "SOFT",
    "WIDTH",
    "as_svg",
    "axes_in",
    "canvas",
    "clean",
    "plainly",
    "rank_axis",
]

FEATURE = "the HTML report"
WIDTH = 4.6
"""Inches: text of 10 points is still legible where a phone shrinks the picture."""

INK, SOFT, GREY, LINE, PAPER = "#1f2933", "#52606d", "#7b8794", "#dde2e8", "#fffffe"
BLUE, AMBER, AMBER_INK = "#2563eb", "#d97706", "#a84a06"
MODELS = (
    *(BLUE, "#be185d", "#0f766e", "#7c3aed"),
    *("#4d7c0f", "#0e7490", "#9f1239", "#475569"),
)
# The page gives each of these colours two values, one for light and one for dark.
_VARIABLES = {
    INK: "ink",
    SOFT: "soft",
    GREY: "grey",
    LINE: "line",
    PAPER: "paper",
    AMBER: "amber",
    AMBER_INK: "amber-ink",
    **{colour: f"m{place}" for place, colour in enumerate(MODELS, 1)},
    BLUE: "blue",
}
_STYLE: dict[Any, Any] = {  # matplotlib types every key
    # Comes with matplotlib: the same layout on every machine. The page shows its own font.
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a model's name is a dollar
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": GREY,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "svg.fonttype": "none",  # text stays text: it can be searched, and the file stays small
    "svg.hashsalt": "rag-rerankers",  # the same input gives the same bytes
}
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_RANKS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def clean(text: str) -> str:
    """The text without what neither XML nor UTF-8 can hold: half surrogate pairs, controls."""
    return _UNPRINTABLE.sub("\ufffd", text)


@contextmanager
def canvas() -> Iterator[None]:
    """Draw in the house's style, whatever the caller's settings of matplotlib are."""
    mpl = needed("matplotlib", FEATURE)
    with mpl.rc_context({**mpl.rcParamsDefault, **_STYLE}), warnings.catch_warnings():
        # The browser has the glyphs that the font of the layout lacks.
        warnings.filterwarnings("ignore", message=".*Glyph .* missing from")
        yield


def axes_in(
    height: float, *, left: float = 0.55, right: float = 0.15, top: float = 0.15, foot: float = 0.5
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, its margins in inches."""
    figure = needed("matplotlib.figure", FEATURE).Figure(figsize=(WIDTH, height))
    box = (
        left / WIDTH,
        foot / height,
        (WIDTH - left - right) / WIDTH,
        (height - top - foot) / height,
    )
    return figure, figure.add_axes(box)


def rank_axis(axes: Axes, which: Literal["x", "y"], last: int) -> None:
    """Show ranks from 1: evenly where they are few, otherwise the top ones widest apart."""
    ticks = list(range(1, last + 1, 1 if last <= 10 else 2))
    if last > 15:
        getattr(axes, f"set_{which}scale")("log")
        ticks = [rank for rank in _RANKS if rank <= last]
    plainly(getattr(axes, f"{which}axis"), ticks)


def plainly(axis: Any, ticks: Sequence[float]) -> None:
    """Put ticks here and nowhere else, as plain numbers."""
    axis.set_ticks(list(ticks), labels=[f"{tick:,g}" for tick in ticks])
    axis.set_minor_locator(needed("matplotlib.ticker", FEATURE).NullLocator())


def as_svg(
    figure: Figure,
    name: str,
    gist: str,
    tips: Mapping[str, Sequence[str]] | None = None,
    *,
    kind: str = "plot",
) -> str:
    """The figure as SVG for a page.

    Args:
        figure: What was drawn.
        name: Begins all its ids: no other figure of the page may have it.
        gist: What it shows, in words, for those who do not see it.
        kind: A class for the page's style.
        tips: Id that was given to a collection to the tooltips of its members, in their order.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    root = ET.fromstring(buffer.getvalue())
    _without_extras(root)
    for gid, texts in (tips or {}).items():
        _tooltips(root, gid, texts)
    for element in root.iter():
        _named(element, name)
        style = element.get("style")
        if style:
            element.set("style", _themed(style))
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.set("class", kind)
    root.set("role", "img")
    root.set("aria-label", clean(gist))
    ET.register_namespace("", _SVG[1:-1])
    return ET.tostring(root, encoding="unicode")


def _without_extras(root: ET.Element) -> None:
    """Drop who made it, and rules of style that would hold for the whole page."""
    for parent in list(root.iter()):
        for child in list(parent):
            empty = child.tag == f"{_SVG}defs" and all(c.tag == f"{_SVG}style" for c in child)
            if child.tag == f"{_SVG}metadata" or empty:
                parent.remove(child)


def _tooltips(root: ET.Element, gid: str, texts: Sequence[str]) -> None:
    (group,) = (element for element in root.iter(f"{_SVG}g") if element.get("id") == gid)
    # Shapes that several members share are defined once and used; others stand as paths.
    defined = {path for defs in group.iter(f"{_SVG}defs") for path in defs}
    drawn = [
        element
        for element in group.iter()
        if element.tag in (f"{_SVG}use", f"{_SVG}path") and element not in defined
    ]
    for element, text in zip(drawn, texts, strict=True):
        ET.SubElement(element, f"{_SVG}title").text = clean(text)


def _named(element: ET.Element, name: str) -> None:
    """Several pictures share one page: their ids must not meet."""
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.attrib['id']}")
    link = element.attrib.pop(_HREF, None)
    if link is not None:
        element.set("href", f"#{name}-{link.removeprefix('#')}")
    clip = element.get("clip-path")
    if clip is not None:
        element.set("clip-path", clip.replace("url(#", f"url(#{name}-"))


def _themed(style: str) -> str:
    """Colours as the page's variables, and the page's font in place of the layout's."""
    style = re.sub(r"font: ((?:\w+ )*)([\d.]+px) [^;]*", _font, style)
    style = re.sub(r"font-family: [^;]*(; )?", "", style)  # which of the two: by version
    return re.sub("#[0-9a-f]{6}", _variable, style)


def _font(found: re.Match[str]) -> str:
    weight = found[1].strip()
    return f"font-size: {found[2]}" + (f"; font-weight: {weight}" if weight else "")


def _variable(found: re.Match[str]) -> str:
    name = _VARIABLES.get(found[0])
    return f"var(--{name})" if name else found[0]
