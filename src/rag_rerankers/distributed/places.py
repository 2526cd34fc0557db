"""Where files are: on this machine's disk, or wherever pyarrow or fsspec can reach."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rag_rerankers.errors import DataError

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

__all__ = ["Place", "input_files", "place"]


class Place(NamedTuple):
    """A path on a file system.

    Attributes:
        files: pyarrow's file system; it can be sent to other machines.
        path: As that file system spells it.
    """

    files: FileSystem
    path: str

    def inside(self, *names: str) -> str:
        """The path of something in this folder."""
        return "/".join((self.path.rstrip("/"), *names))


def place(path: str | os.PathLike[str], filesystem: Any = None) -> Place:
    """The place that a path or URI names.

    Args:
        path: A path of this machine, or a URI such as ``s3://bucket/folder``.
        filesystem: A file system of pyarrow or fsspec on which ``path`` is; None finds it.

    Raises:
        DataError: The URI is of a kind that pyarrow does not know.
    """
    import pyarrow as pa
    from pyarrow import fs

    text = os.fspath(path)
    if filesystem is not None:
        if not isinstance(filesystem, fs.FileSystem):
            filesystem = fs.PyFileSystem(fs.FSSpecHandler(filesystem))
        return Place(filesystem, text)
    if "://" not in text:
        # Absolute, because a worker may stand in another folder; links stay as they are, because
        # on another machine they may lead elsewhere.
        return Place(fs.LocalFileSystem(), os.path.abspath(Path(text).expanduser()))  # noqa: PTH100
    try:
        return Place(*fs.FileSystem.from_uri(text))
    except pa.ArrowInvalid as error:
        raise DataError(f"{text!r} cannot be reached: {error}. Give its file system") from error


def input_files(places: Iterable[Place]) -> list[FileInfo]:
    """The Parquet files that are meant: those given, and all below the folders given, by name.

    What starts with ``_`` or ``.`` is left out, as everywhere.

    Raises:
        DataError: There are none, a path does not exist, or a file is named twice.
    """
    from pyarrow import fs

    found: list[FileInfo] = []
    for files, path in places:
        info = files.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise DataError(f"{path} does not exist")
        if info.type == fs.FileType.File:
            found.append(info)
            continue
        inside = files.get_file_info(fs.FileSelector(path, recursive=True))
        below = [one for one in inside if _is_data(one.path[len(path) :])]
        found += sorted(below, key=lambda one: one.path)
        if not below:
            raise DataError(f"there is no .parquet file in {path}")
    twice = [path for path, count in Counter(info.path for info in found).items() if count > 1]
    if twice:
        raise DataError(f"{twice[0]} is named twice: its rows would come out twice")
    return found


def _is_data(name: str) -> bool:
    folders_and_file = name.strip("/").split("/")
    return name.endswith(".parquet") and not any(
        part.startswith(("_", ".")) for part in folders_and_file
    )
