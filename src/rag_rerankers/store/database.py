"""The file of a token store: SQLite, opened and used so that many processes may share it.

Readers never wait, writers wait for each other. A process that is killed leaves the last committed
state, whatever it was doing. SQLite and not LMDB: a damaged LMDB file can take the process down
(it is mapped into memory and its pages carry no checks), it never gets smaller, and its largest
size has to be known beforehand. What LMDB is faster at, the entries in memory make up for.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag_rerankers.errors import StoreError

__all__ = ["FILE", "Database", "StoreBusyError"]

FILE = "tokens.sqlite"
_APPLICATION = 0x52525453  # "RRTS"
_VERSION = 1
_PATIENCE = 60.0
"""Seconds to wait for other writers."""

_SCHEMA = (
    """CREATE TABLE models (
        id INTEGER PRIMARY KEY,
        fingerprint BLOB NOT NULL,
        compression TEXT NOT NULL,
        name TEXT NOT NULL,
        codec BLOB,
        UNIQUE (fingerprint, compression)
    )""",
    """CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        model INTEGER NOT NULL,
        used INTEGER NOT NULL,
        vectors INTEGER NOT NULL,
        size INTEGER NOT NULL,
        data BLOB NOT NULL
    )""",
    # Holds all that eviction and statistics ask for: neither reads the entries themselves.
    "CREATE INDEX entries_by_use ON entries (used, id, model, vectors, size)",
)

_all: weakref.WeakSet[Database] = weakref.WeakSet()


class StoreBusyError(StoreError):
    """The file is good, but cannot be read or written now."""


class Database:
    """Connections to one file, as many as there are threads that use it at a time.

    Args:
        folder: Where the file lies; made if it is not there.

    Attributes:
        read_only: Whether the file cannot be written here.

    Raises:
        StoreError: There is something else, a damaged file, or one of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / FILE
        if folder.is_file():
            raise StoreError(
                f"{folder} is a file: a token store is a folder. Give the path of a new folder, "
                "or of one that a store has made"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the token store {folder} cannot be made: {error}") from error
        self.read_only = self.file.exists() and not (
            os.access(self.file, os.W_OK) and os.access(folder, os.W_OK)
        )
        self._forget()
        with self._borrowed() as connection:
            self._prepare(connection)
        _all.add(self)

    def _forget(self) -> None:
        # A connection must not be used, or even closed, by a forked child.
        self._inherited = getattr(self, "_idle", [])
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection on which everything that is read is of one moment."""
        with self._borrowed() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def writing(self, *, wait: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection that alone writes; what it wrote counts if the block ends without error.

        Args:
            wait: For other writers.

        Raises:
            StoreBusyError: Another process writes, and does not end; or there is no room, no right.
        """
        with self._borrowed() as connection:
            if not wait:
                connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("BEGIN IMMEDIATE")
            finally:
                if not wait:
                    connection.execute(f"PRAGMA busy_timeout = {int(_PATIENCE * 1000)}")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def vacuum(self) -> None:
        """Give free pages back to the file system."""
        with self._borrowed() as connection:
            connection.execute("PRAGMA incremental_vacuum").fetchall()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def size(self) -> int:
        """Bytes that the files take on the disk."""
        files = (self.file, *(self.folder / (FILE + end) for end in ("-wal", "-shm")))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close what is open; it opens again when it is needed."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._guard:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._guard:
                self._idle.append(connection)
        except sqlite3.OperationalError as error:
            # No room, no rights, another writer for too long: the file itself is good.
            raise StoreBusyError(f"the token store {self.file} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise self.damaged(error) from error

    def _connect(self) -> sqlite3.Connection:
        mode = "ro&immutable=1" if self.read_only else "rwc"
        try:
            connection = sqlite3.connect(
                f"{self.file.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_PATIENCE,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.OperationalError as error:
            raise StoreError(f"the token store {self.file} cannot be opened: {error}") from error
        # Damage may turn bytes into text; that must not be an error of its own.
        connection.text_factory = lambda content: content.decode("utf-8", "replace")
        # A killed process loses nothing with this, a power failure no more than the last writes.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application == _APPLICATION and version != _VERSION:
            raise StoreError(
                f"{self.file} is a token store of version {version}, and this is version "
                f"{_VERSION}: use the rag-rerankers that made it, or give the path of a new folder"
            )
        if application == _APPLICATION:
            connection.execute("SELECT count(*) FROM models").fetchone()
            return
        if tables:
            raise StoreError(
                f"{self.file} is a database of another program: it is left alone. Give the path "
                "of a new folder"
            )
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")

    def damaged(self, error: object) -> StoreError:
        """The error to raise for a file that is not what it should be."""
        return StoreError(
            f"{self.file} is damaged, or is not a token store ({error}). Delete the folder "
            f"{self.folder}: its texts are then encoded again when they are needed"
        )


def _after_fork() -> None:
    for database in _all:
        database._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
