"""Values of a column, one by one: what cannot be used is an error of its own, not of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Failure", "in_halves", "message", "unusable", "values"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Failure(NamedTuple):
    """Why there is no value.

    Attributes:
        message: For the column of errors.
    """

    message: str


def message(error: BaseException) -> str:
    """An error as a cell says it."""
    return f"{type(error).__name__}: {error}"


def values(column: pa.ChunkedArray) -> list[Any]:
    """A column's values; a failure in place of one that is not valid UTF-8."""
    try:
        found: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]
    return found


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return Failure(message(error))


def unusable(what: str, value: object) -> Failure | None:
    """Why a value is no text; None if it is one.

    Args:
        what: What it should be.
        value: What it is.
    """
    if isinstance(value, str):
        return None
    if isinstance(value, Failure):
        return Failure(f"the {what} is not valid UTF-8: {value.message}")
    if value is None:
        return Failure(f"the {what} is missing (null)")
    return Failure(f"the {what} is not a string: {value!r:.100}")


def in_halves(
    work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]
) -> list[Result | Failure]:
    """Do work on many items together; when it fails, on each half, down to the item that is wrong.

    Example:
        >>> in_halves(lambda items: [1 / item for item in items], [1, 2, 0, 4])
        [1.0, 0.5, Failure(message='ZeroDivisionError: division by zero'), 0.25]
    """
    if not items:
        return []
    try:
        return list(work(items))
    except Exception as error:
        if len(items) == 1:
            return [Failure(message(error))]
    middle = len(items) // 2
    return in_halves(work, items[:middle]) + in_halves(work, items[middle:])
