"""Places for labels beside their points, so that they do not cover each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Box", "leader", "place"]

_GAP = 9.0
_STEP = 7.0
_STEPS = 24
_ROUNDS = 3
_CLOSE = 16.0
_DOTS = 6


@dataclass(frozen=True)
class Box:
    """A rectangle, in points, upwards.

    Attributes:
        left: Its left side.
        bottom: Its lower side.
        right: Its right side.
        top: Its upper side.
    """

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: Box) -> float:
        """The area that both cover."""
        if self.right <= other.left or other.right <= self.left:
            return 0.0  # by far the most frequent case
        if self.top <= other.bottom or other.top <= self.bottom:
            return 0.0
        width = min(self.right, other.right) - max(self.left, other.left)
        return width * (min(self.top, other.top) - max(self.bottom, other.bottom))

    def outside(self, bounds: Box) -> float:
        """The area that lies beyond the bounds."""
        width, height = self.right - self.left, self.top - self.bottom
        return width * height - self.shared(bounds)


def place(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Sequence[Box],
    bounds: Box,
    *,
    last_is_line: bool = False,
) -> list[Box]:
    """Find a place for each label, from the highest point to the lowest.

    Args:
        anchors: What each label belongs to.
        sizes: Width and height of each label.
        taken: What should not be covered.
        bounds: What labels should not leave.
        last_is_line: The last label belongs to a horizontal line through its anchor, and may
            stand anywhere along it; it is placed first.

    Returns:
        The box of each label.
    """
    n = len(anchors)
    options = [
        sorted(_beside(*one), key=lambda option: option[0])
        for one in zip(anchors, sizes, strict=True)
    ]
    if last_is_line:
        options[-1] = list(_along(anchors[-1], sizes[-1], bounds))
    first = [n - 1] if last_is_line else []
    rest = range(n - len(first))
    orders = (
        sorted(rest, key=lambda one: -anchors[one][1]),
        sorted(rest, key=lambda one: anchors[one][1]),
        sorted(rest, key=lambda one: -sizes[one][0]),
    )
    # What is placed first decides much: the best of a few orders is taken.
    tried = [_placed([*first, *order], anchors, options, taken, bounds, first) for order in orders]
    best = min(tried, key=lambda one: one[0])[1]
    return [best[one] for one in range(n)]


def _placed(
    order: Sequence[int],
    anchors: Sequence[tuple[float, float]],
    options: Sequence[Sequence[tuple[float, Box]]],
    taken: Sequence[Box],
    bounds: Box,
    lines: Sequence[int],
) -> tuple[float, dict[int, Box]]:
    """Every label in turn at its best place, again and again; with what it costs."""
    found: dict[int, Box] = {}
    leaders: dict[int, list[Box]] = {}
    total = 0.0
    for _ in range(_ROUNDS):  # in the first round, labels do not know of later ones
        total = 0.0
        for one in order:
            covered = [*taken, *(box for label, box in found.items() if label != one)]
            drawn = [box for label, line in leaders.items() if label != one for box in line]
            cost = math.inf
            for far, box in options[one]:  # from the nearest to the farthest
                if far >= cost:
                    break
                spent = far + 20 * box.outside(bounds) + 10 * _shared([box], [*covered, *drawn])
                if spent >= cost:
                    continue
                line = [] if one in lines else _leader(anchors[one], box)
                spent += 10 * _shared(line, covered)
                if spent < cost:
                    cost, found[one], leaders[one] = spent, box, line
            total += cost
    return total, found


def leader(anchor: tuple[float, float], box: Box) -> tuple[float, float] | None:
    """Where the line from a point to its label ends; None if they are close together."""
    x, y = anchor
    middle = (box.bottom + box.top) / 2
    if abs(middle - y) <= _CLOSE:
        return None
    inset = 0.2 * (box.right - box.left)
    end = min(max(x, box.left + inset), box.right - inset)
    return end, box.bottom if middle > y else box.top


def _leader(anchor: tuple[float, float], box: Box) -> list[Box]:
    """The line as small boxes; without those next to the point itself."""
    end = leader(anchor, box)
    if end is None:
        return []
    steps = [(step + 2) / _DOTS for step in range(_DOTS - 2)]
    middles = [tuple(a + t * (b - a) for a, b in zip(anchor, end, strict=True)) for t in steps]
    return [Box(x - 1.5, y - 1.5, x + 1.5, y + 1.5) for x, y in middles]


def _shared(some: Sequence[Box], others: Sequence[Box]) -> float:
    return sum(one.shared(other) for one in some for other in others)


def _beside(anchor: tuple[float, float], size: tuple[float, float]) -> Iterator[tuple[float, Box]]:
    (x, y), (width, height) = anchor, size
    for step in range(_STEPS):
        far = step * _STEP
        for middle in (y + far, y - far):
            for left, cost in (
                (x + _GAP, 0.0),
                (x - _GAP - width, 1.0),
                (x - width / 2, 3.0),
                (x - width / 4, 4.0),
                (x - 3 * width / 4, 4.0),
            ):
                box = Box(left, middle - height / 2, left + width, middle + height / 2)
                yield far + cost, box


def _along(
    anchor: tuple[float, float], size: tuple[float, float], bounds: Box
) -> Iterator[tuple[float, Box]]:
    (_, y), (width, height) = anchor, size
    places = 12
    for step in range(places + 1):
        left = bounds.left + 2 + step * max(0.0, bounds.right - bounds.left - width - 2) / places
        for bottom in (y + 2, y - 2 - height):
            yield float(step), Box(left, bottom, left + width, bottom + height)
