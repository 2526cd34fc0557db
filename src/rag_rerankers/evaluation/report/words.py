"""Findings in words: numbers as they are printed, and a sentence for each model."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import bidirectional

from rag_rerankers.evaluation.results import Evaluation, System

__all__ = ["counted", "isolated", "number", "short", "short_names", "signed", "span", "verdict"]

MINUS = "\N{MINUS SIGN}"
_TURNING = {"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI"}


def number(value: float, digits: int = 3) -> str:
    """A measure: three digits, without the zero before the point."""
    text = f"{abs(value):.{digits}f}"
    sign = MINUS if value < 0 and float(text) else ""
    return sign + text.removeprefix("0")


def signed(value: float) -> str:
    """The same with its sign."""
    text = number(value)
    return text if text.startswith(MINUS) or not float(text) else f"+{text}"


def span(low: float, high: float) -> str:
    """An interval."""
    return f"{signed(low)} to {signed(high)}"


def counted(n: int, one: str, many: str = "") -> str:
    """So many of them."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def short(text: str, length: int) -> str:
    """The text on one line, cut behind a word where it is longer."""
    line = " ".join(text[: 4 * length].split())
    if len(line) <= length:
        return line
    cut = line[: length - 1]
    whole = cut.rpartition(" ")[0]
    return (whole if len(whole) > length // 2 else cut) + "…"


def short_names(names: Sequence[str], length: int = 24) -> list[str]:
    """Names that fit into a picture, still all different.

    They lose their owner or folder, and their middle if that is not enough.
    """
    lines = [" ".join(name.split()) for name in names]
    last = [line if " " in line else line.rpartition("/")[2] or line for line in lines]
    shortened: list[str] = []
    for line in last if len(set(last)) == len(set(lines)) else lines:
        half = (length - 1) // 2
        cut = line if len(line) <= length else f"{line[: length - 1 - half]}…{line[-half:]}"
        place = 2
        unique = cut
        while unique in shortened:
            unique, place = f"{cut[: length - 4]} ({place})", place + 1
        shortened.append(unique)
    return shortened


def isolated(name: str) -> str:
    """The name, kept from turning the sentence around it if it holds text from right to left."""
    turns = any(bidirectional(character) in _TURNING for character in name)
    return f"\u2068{name}\u2069" if turns else name


def verdict(evaluation: Evaluation, model: System) -> str:
    """What a model did to the main measure, in one honest sentence."""
    found = evaluation.difference(evaluation.measures[0], model.name)
    measure, before, after = found.measure, number(found.before), number(found.after)
    name = isolated(model.name)
    queries = found.wins + found.losses + found.ties
    if found.ties == queries:
        same = "the only query is" if queries == 1 else f"all {queries:,} queries are"
        return f"{name} leaves {measure} at {before}: {same} the same."
    counts = (
        f"{counted(found.wins, 'query', 'queries')} better, {found.losses:,} worse, "
        f"{found.ties:,} the same"
    )
    if queries == 1:
        return (
            f"{name} changes {measure} from {before} to {after} ({signed(found.delta)}) for "
            "one query, which says nothing about others."
        )
    p = "p < .001" if found.p_value < 0.001 else f"p = {number(found.p_value)}"
    tested = f"{signed(found.delta)}, 95 % interval {span(found.low, found.high)}, {p}"
    if not found.significant:
        return (
            f"{name} takes {measure} from {before} to {after} ({tested}); this may be "
            f"chance: {counts}."
        )
    verb = "raises" if found.delta > 0 else "lowers"
    return f"{name} {verb} {measure} from {before} to {after} ({tested}): {counts}."
