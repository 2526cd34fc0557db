"""What the heats say: each contestant against this project, and against the floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.contestants import FLOOR, OURS
from benchmarks.figures import Spread, paired_ratio, spread
from benchmarks.store import Part

__all__ = ["Row", "failures", "floor_rates", "rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant at one size.

    Attributes:
        peer: Key of the peer.
        name, config, dtype: Who it is.
        roles: Why it was measured.
        seconds: Of a call.
        tokens_per_second: At the median.
        share: Of the rate of the matrix products alone at this dtype; None where unknown.
        to_best: Its time over this project's at its best, in the same round.
        to_equal: Its time over this project's at the same dtype, in the same round; None where
            this project does not have the dtype.
        agreement: Correlation of its scores with this project's.
        rss_peak: Bytes.
    """

    peer: str
    name: str
    config: str
    dtype: str
    roles: tuple[str, ...]
    seconds: Spread
    tokens_per_second: float
    share: float | None
    to_best: Spread | None
    to_equal: Spread | None
    agreement: float | None
    rss_peak: int


def rows(part: Part) -> list[Row]:
    """Every contestant of a part ``cpu/MODEL/SIZE`` once, fastest first; the floor is left out."""
    floors = floor_rates(part)
    found: dict[tuple[str, str], Row] = {}
    for heat in part["heats"]:
        best = _ours(heat, "best")
        for member in heat:
            key = (member["peer"], member["config"])
            if member.get("error") or member["peer"] == FLOOR or not member["seconds"]:
                continue
            # This project is in many heats; its figures are those of the first.
            found.setdefault(key, _row(part, heat, member, best, floors))
    return sorted(found.values(), key=lambda row: row.seconds.median)


def failures(part: Part) -> Iterator[tuple[str, str, str]]:
    """Name, configuration and reason of whatever did not run."""
    seen = set()
    for member in (member for heat in part["heats"] for member in heat):
        told = (member["name"], member["config"], member.get("error", ""))
        if told[2] and told not in seen:
            seen.add(told)
            yield told


def floor_rates(part: Part) -> dict[str, float]:
    """Operations a second of the products alone, by dtype."""
    return {
        member["dtype"]: part["flops"] / spread(member["seconds"]).median
        for heat in part["heats"]
        for member in heat
        if member["peer"] == FLOOR and member.get("seconds")
    }


def _row(
    part: Part,
    heat: list[dict[str, Any]],
    member: dict[str, Any],
    best: dict[str, Any] | None,
    floors: dict[str, float],
) -> Row:
    seconds = spread(member["seconds"])
    floor = floors.get(member["dtype"])
    return Row(
        peer=member["peer"],
        name=member["name"],
        config=member["config"],
        dtype=member["dtype"],
        roles=tuple(member["roles"]),
        seconds=seconds,
        tokens_per_second=part["tokens"] / seconds.median,
        share=None if floor is None else part["flops"] / seconds.median / floor,
        to_best=_ratio(member, best),
        to_equal=_ratio(member, _ours(heat, f"best at {member['dtype']}")),
        agreement=member["agreement"],
        rss_peak=member["rss_peak"],
    )


def _ours(heat: list[dict[str, Any]], role: str) -> dict[str, Any] | None:
    for member in heat:
        if member["peer"] == OURS and role in member["roles"] and not member.get("error"):
            return member
    return None


def _ratio(member: dict[str, Any], ours: dict[str, Any] | None) -> Spread | None:
    if ours is None or len(ours["seconds"]) != len(member["seconds"]):
        return None
    return paired_ratio(member["seconds"], ours["seconds"])
