"""Places for labels beside their points, so that they do not cover each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Box", "place"]

_GAP = 9.0
_STEP = 7.0
_STEPS = 24
_ROUNDS = 4


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
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0) * max(height, 0)

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
) -> list[tuple[float, float]]:
    """Find a place for each label, from the highest point to the lowest.

    Args:
        anchors: What each label belongs to.
        sizes: Width and height of each label.
        taken: What should not be covered.
        bounds: What labels should not leave.
        last_is_line: The last label belongs to a horizontal line through its anchor, and may
            stand anywhere along it; it is placed first.

    Returns:
        The lower left corner of each label.
    """
    options = [list(_beside(*one)) for one in zip(anchors, sizes, strict=True)]
    order = sorted(range(len(anchors)), key=lambda one: -anchors[one][1])
    if last_is_line:
        options[-1] = list(_along(anchors[-1], sizes[-1], bounds))
        order.insert(0, order.pop(order.index(len(anchors) - 1)))
    found: dict[int, Box] = {}
    for _ in range(_ROUNDS):  # the first labels did not know of the last ones
        for one in order:
            others = [box for place_, box in found.items() if place_ != one]
            covered = [*taken, *others]
            found[one] = min(
                options[one],
                key=lambda option: (
                    option[0]
                    + 10 * sum(option[1].shared(box) for box in covered)
                    + 20 * option[1].outside(bounds)
                ),
            )[1]
    return [(found[one].left, found[one].bottom) for one in range(len(anchors))]


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
