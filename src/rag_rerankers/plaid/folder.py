"""An index on disk: whole generations, of which the newest counts.

    my-index/
      lock            held by whoever changes the index
      .writing/       the next generation, while it is being written
      000007-9f3a01/  the newest generation: a complete index of colbert-ai, and ours on top

A generation is written beside the others and appears by one rename, so a crash at any moment
leaves the old one or the new one. Files of one generation never change; the next one links to
those that it keeps.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from rag_rerankers.errors import PlaidIndexError

__all__ = ["Folder", "checksum", "link"]

_LOCK = "lock"
_WRITING = ".writing"
_BLOCK = 1 << 20


class Folder:
    """Where an index lives.

    Args:
        path: The folder; need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()

    def newest(self) -> Path | None:
        """The newest generation; None where none was ever finished.

        Raises:
            PlaidIndexError: The folder holds something else.
        """
        self.refuse_foreign()
        generations = self._generations()
        return generations[-1] if generations else None

    def refuse_foreign(self) -> None:
        """Refuse a file, and a folder that holds anything but an index.

        Raises:
            PlaidIndexError: So it is; the message names what is in the way.
        """
        if self.path.exists() and not self.path.is_dir():
            raise PlaidIndexError(f"{self.path} is a file: give a folder of its own to an index")
        for entry in sorted(self.path.iterdir()) if self.path.is_dir() else ():
            # Hidden files are those of file managers, and what is being written.
            ours = entry.name == _LOCK or entry.name.startswith(".") or _is_generation(entry)
            if not ours:
                raise PlaidIndexError(
                    f"{self.path} is not a PLAID index of rag-rerankers: it holds {entry.name!r}. "
                    "Give a folder of its own to an index"
                )

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other threads and processes from changing the index meanwhile; they wait."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK).open("ab") as file:
            _lock_file(file.fileno())
            # The operating system lets go of it, even when this process is killed.
            yield

    @contextlib.contextmanager
    def next_generation(self) -> Iterator[Path]:
        """A folder to write the next generation to; it counts once the block ends well.

        To be used within :meth:`changing`.
        """
        writing = self.path / _WRITING
        shutil.rmtree(writing, ignore_errors=True)  # what a crash left
        writing.mkdir()
        try:
            yield writing
            for file in writing.iterdir():
                _to_disk(file)
            _to_disk(writing)
            older = self._generations()
            number = _number(older[-1]) + 1 if older else 1
            # A name that never comes again, so that readers notice a folder made anew.
            _publish(writing, self.path / f"{number:06d}-{secrets.token_hex(3)}")
            _to_disk(self.path)
        except BaseException:
            shutil.rmtree(writing, ignore_errors=True)
            raise
        for generation in older:
            # Who has it open holds it in memory.
            shutil.rmtree(generation, ignore_errors=True)

    def _generations(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        return sorted(filter(_is_generation, self.path.iterdir()), key=_number)


def _is_generation(entry: Path) -> bool:
    return re.fullmatch(r"[0-9]{6,}-[0-9a-f]{6}", entry.name) is not None and entry.is_dir()


def _number(generation: Path) -> int:
    return int(generation.name.partition("-")[0])


def _publish(writing: Path, generation: Path) -> None:
    writing.rename(generation)


def link(source: Path, target: Path) -> None:
    """Let a file be in another folder too; copied where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def checksum(path: Path) -> tuple[int, int]:
    """Size in bytes, and CRC-32."""
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            crc = zlib.crc32(block, crc)
    return size, crc


def _to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of names, would survive a loss of power."""
    if path.is_dir() and sys.platform == "win32":
        return  # folders cannot be opened there
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock_file(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        while True:
            with contextlib.suppress(OSError):  # it gives up after ten seconds
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
                return
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
