"""Whether what came back was right."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from benchmarks.hostile.wire import Attack, Outcome

__all__ = ["complaint", "differs", "failures", "without_chance"]

_OVERLOAD = (503, 504)
_LEAKS = (b"Traceback (most recent", b'File "', b"root:x:", b"site-packages")
_CHANCE = {"id", "created", "seconds"}


def complaint(attack: Attack, outcome: Outcome, known: dict[str, Any]) -> str | None:
    """What is wrong with what came of an attack; None if nothing is.

    Args:
        attack: That was made.
        outcome: Of it.
        known: The answers to the known requests, by route.
    """
    if outcome.end == "hung" and attack.kind != "slow headers":
        return f"no answer, no end, after {outcome.seconds:.0f} s"
    if attack.answered and not outcome.answers:
        return "the connection was closed without an answer"
    for answer in outcome.answers:
        status = answer.status
        if status >= 500 and status not in _OVERLOAD:
            return f"status {status}: {answer.body[:200]!r}"
        if not 200 <= status < 600:
            return f"no HTTP: {answer.body[:80]!r}"
        if status == attack.never:
            return f"status {status}, though the request was wrong: {answer.body[:200]!r}"
        if attack.must and status != attack.must and status not in _OVERLOAD:
            return f"status {status} instead of {attack.must}: {answer.body[:200]!r}"
        if any(leak in answer.body for leak in _LEAKS):
            return f"tells what is nobody's business: {answer.body[:200]!r}"
        if not answer.whole:
            return f"half an answer: status {status}, {answer.body[-80:]!r}"
        if attack.exact and status == 200:
            wrong = differs(known[attack.exact], without_chance(answer.body), tolerance=1e-4)
            if wrong:
                return f"the known request is answered otherwise: {wrong}"
    return None


def without_chance(body: bytes) -> Any:
    """An answer without what differs from one to the next."""
    value = json.loads(body)
    if isinstance(value, dict):
        return {name: part for name, part in value.items() if name not in _CHANCE}
    return value


def failures(metrics: bytes) -> int:
    """Answers of 500 or more, but for overload, that a server's metrics count."""
    found = re.findall(rb'_total\{[^}]*status="(5\d\d)"[^}]*\} ([0-9.e+]+)', metrics)
    return sum(int(float(count)) for status, count in found if int(status) not in _OVERLOAD)


def differs(one: Any, other: Any, *, tolerance: float = 0.0, at: str = "") -> str | None:
    """Where two answers differ; None if they do not."""
    if isinstance(one, float) and isinstance(other, float):
        equal = math.isclose(one, other, rel_tol=0, abs_tol=tolerance)
        return None if equal else f"{at or 'it'} was {one!r} and is {other!r}"
    if type(one) is not type(other):
        return f"{at or 'it'} was {one!r:.80} and is {other!r:.80}"
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return f"{at or 'it'} had {sorted(one)} and has {sorted(other)}"
        pairs = [(f"{at}.{name}", one[name], other[name]) for name in one]
    elif isinstance(one, list):
        if len(one) != len(other):
            return f"{at or 'it'} had {len(one)} items and has {len(other)}"
        pairs = [
            (f"{at}[{i}]", first, second)
            for i, (first, second) in enumerate(zip(one, other, strict=True))
        ]
    else:
        return None if one == other else f"{at or 'it'} was {one!r:.80} and is {other!r:.80}"
    for place, first, second in pairs:
        wrong = differs(first, second, tolerance=tolerance, at=place)
        if wrong:
            return wrong
    return None
