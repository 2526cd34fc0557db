"""The input, cut into numbered pieces: the same at every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag_rerankers.distributed.places import Place, input_files
from rag_rerankers.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Chunk", "Input", "InputFile", "RowReader", "cut", "read_input"]

_THREADS = 16


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file, and what would change if its rows did.

    Attributes:
        path: Where it is.
        rows: How many it has.
        size: Bytes.
        modified: When, in nanoseconds; None where the file system does not know.
    """

    path: str
    rows: int
    size: int
    modified: int | None


@dataclass(frozen=True, slots=True)
class Input:
    """All files of the input, which have the same columns."""

    files: tuple[InputFile, ...]
    schema: pa.Schema


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of one file, which become one part of the output.

    Attributes:
        number: Of the part.
        path: The file.
        first: The first row, counted from 0.
        rows: How many.
    """

    number: int
    path: str
    first: int
    rows: int


def read_input(places: Sequence[Place]) -> Input:
    """Look at the files' footers; places on several file systems are not mixed.

    Raises:
        DataError: There is no file, one is not Parquet, or their columns differ.
    """
    from pyarrow import parquet

    found = input_files(places)
    files = places[0].files

    def look(info: Any) -> tuple[InputFile, pa.Schema]:
        try:
            with files.open_input_file(info.path) as source:
                footer = parquet.read_metadata(source)
        except (OSError, ValueError) as error:
            raise DataError(f"{info.path} cannot be read as Parquet: {error}") from error
        schema = footer.schema.to_arrow_schema()
        return InputFile(info.path, footer.num_rows, info.size, info.mtime_ns), schema

    with ThreadPoolExecutor(_THREADS) as pool:
        looked = list(pool.map(look, found))
    (first, schema), *others = looked
    for file, other in others:
        if not other.equals(schema):
            raise DataError(
                f"{file.path} has other columns than {first.path}: "
                f"{_columns(other)}, and not {_columns(schema)}"
            )
    return Input(tuple(file for file, _ in looked), schema)


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def cut(files: Sequence[InputFile], rows: int) -> Iterator[Chunk]:
    """Pieces of at most so many rows, none of which reaches over two files."""
    number = 0
    for file in files:
        for first in range(0, file.rows, rows):
            yield Chunk(number, file.path, first, min(rows, file.rows - first))
            number += 1


class RowReader:
    """Reads chunks, and holds the row group that it read last: chunks come in order.

    Args:
        place: Any place on the file system of the input.
    """

    def __init__(self, place: Place) -> None:
        self._files = place.files
        self._held: tuple[str, int] | None = None
        self._group: pa.Table | None = None

    def read(self, chunk: Chunk) -> pa.Table:
        """The chunk's rows.

        Raises:
            DataError: The file has fewer rows than it had when it was cut.
        """
        import pyarrow as pa
        from pyarrow import parquet

        pieces, end, at = [], chunk.first + chunk.rows, 0
        with self._files.open_input_file(chunk.path) as source:
            file = parquet.ParquetFile(source)
            for number in range(file.metadata.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                low, high = max(chunk.first, at), min(end, at + rows)
                if low < high:
                    group = self._row_group(file, chunk.path, number)
                    pieces.append(group.slice(low - at, high - low))
                at += rows
        if at < end:
            raise DataError(f"{chunk.path} has {at} rows, and had more: it has been changed")
        return pa.concat_tables(pieces)

    def _row_group(self, file: Any, path: str, number: int) -> pa.Table:
        if self._group is None or self._held != (path, number):
            self._group = None  # before the next one is read: not two of them at a time
            self._group = file.read_row_group(number)
            self._held = (path, number)
        return self._group
