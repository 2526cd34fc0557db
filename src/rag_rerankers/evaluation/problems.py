"""What is wrong with data: told all at once, or counted and left behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rag_rerankers.errors import DataError

__all__ = ["Problem", "Problems"]

_SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """One kind of mistake.

    Attributes:
        what: The mistake, in words.
        remedy: What going on in spite of it means.
        count: How often it was met.
        examples: The first few, each with its file and line.
    """

    what: str
    remedy: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = self.count - len(self.examples)
        rest = f"\n    ... and {more:,} more" if more else ""
        lines = "".join(f"\n    {example}" for example in self.examples)
        return f"{self.what} ({self.count:,}; --lenient {self.remedy}):{lines}{rest}"


@dataclass
class Problems:
    """Collects mistakes while files are read.

    Attributes:
        lenient: Count mistakes and go on, instead of refusing the data.
    """

    lenient: bool = False
    _found: dict[tuple[str, str], tuple[int, list[str]]] = field(default_factory=dict)

    def add(self, what: str, remedy: str, path: Path, line: int | None, detail: str) -> None:
        """Note a mistake.

        Args:
            what: Its kind.
            remedy: What being lenient does about it, as a verb: "skips the line".
            path: The file.
            line: Its line, from 1; None for the whole file.
            detail: The offending value.
        """
        count, examples = self._found.setdefault((what, remedy), (0, []))
        if len(examples) < _SHOWN:
            place = f"{path}:{line}" if line is not None else str(path)
            examples.append(f"{place}: {detail}")
        self._found[what, remedy] = (count + 1, examples)

    def __iter__(self) -> Iterator[Problem]:
        for (what, remedy), (count, examples) in self._found.items():
            yield Problem(what, remedy, count, tuple(examples))

    def check(self, name: str) -> None:
        """Refuse the data if there are mistakes and nobody asked to go on in spite of them.

        Raises:
            DataError: Every kind of mistake with its first lines.
        """
        if self.lenient or not self._found:
            return
        told = "\n  ".join(str(problem) for problem in self)
        raise DataError(
            f"{name} has mistakes:\n  {told}\nMend them, or go on with --lenient (lenient=True)"
        )
