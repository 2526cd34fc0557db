"""What a run did."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Report", "Tally"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one part, or of many.

    Attributes:
        rows: Rows of the table.
        texts: Texts in them.
        failed: Texts without a result; their rows say why.
        tokens: Tokens that the model read.
        cut: Texts that were longer than it reads.
    """

    rows: int = 0
    texts: int = 0
    failed: int = 0
    tokens: int = 0
    cut: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.rows + other.rows,
            self.texts + other.texts,
            self.failed + other.failed,
            self.tokens + other.tokens,
            self.cut + other.cut,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What the output folder holds now, and what it took.

    Attributes:
        output: The folder.
        rows: Rows in it: as many as the input has.
        texts: Texts in them; with one text a row, the same.
        failed: Texts without a result; their rows say why.
        parts: Files in the folder.
        present: How many of these an earlier run had made.
        tokens: Tokens that the model read, for all parts.
        cut: Texts that were longer than the model reads.
        seconds: Time of this run.
    """

    output: str
    rows: int
    texts: int
    failed: int
    parts: int
    present: int
    tokens: int
    cut: int
    seconds: float

    @property
    def done(self) -> int:
        """Texts with a result."""
        return self.texts - self.failed
