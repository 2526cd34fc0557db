"""The store itself: entries by key, bounded in size, shared by threads and processes."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rag_rerankers.store.care import describe, prune, verify
from rag_rerankers.store.database import Database, StoreBusyError
from rag_rerankers.store.entries import StoredText, pack, unpack
from rag_rerankers.store.eviction import make_room
from rag_rerankers.store.recent import Recent
from rag_rerankers.store.reports import Pruned, StoreInfo, Verified
from rag_rerankers.store.shelf import COMPRESSIONS, DEFAULT_COMPRESSION, Shelf

__all__ = ["TokenStore", "open_store"]

logger = logging.getLogger(__name__)

_LEAST = 1 << 20
"""Bytes that a bound must leave."""
_PAGE = 4096
"""Bytes that an entry may need beside its own, as it begins a page."""
_AT_ONCE = 256
_HOUR = 3600

# By identity: equal stores are still two.
_all: weakref.WeakValueDictionary[int, TokenStore] = weakref.WeakValueDictionary()


class TokenStore:
    """Keeps the token vectors of texts in a folder.

    Content-addressed: an entry's key is made of the text and of the fingerprint of the model, so a
    changed text is a new entry, and no entry can be out of date. Any number of threads and
    processes may use one folder at the same time. What a killed process had written whole stays;
    every entry carries a checksum, and a damaged one is encoded again.

    Opening happens at first use. Two stores of one folder with the same settings are equal.

    Args:
        path: A folder, made if it is not there.
        compression: How vectors are kept. ``"int8"`` needs ``dim + 2`` bytes a vector,
            ``"float16"`` twice as many; ``"residual4"``, ``"residual2"`` and ``"residual1"`` are
            ColBERTv2's own, with 4, 2 or 1 bits a number, and learn from the first texts that the
            store is warmed with (extra ``plaid``).
        max_bytes: Bound on the size of the file: what has not been used for longest (counted in
            hours) goes when it is full. None: no bound.
        memory_bytes: Bytes of entries that are kept in memory as well.

    Raises:
        TypeError, ValueError: An argument that cannot be.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        compression: str = DEFAULT_COMPRESSION,
        max_bytes: int | None = None,
        memory_bytes: int = 64 << 20,
    ) -> None:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise TypeError(f"a token store needs the path of a folder, not {path!r}")
        if compression not in COMPRESSIONS:
            raise ValueError(
                f"compression must be one of {', '.join(COMPRESSIONS)}, not {compression!r}"
            )
        _check_bytes("max_bytes", max_bytes, _LEAST)
        _check_bytes("memory_bytes", memory_bytes, 0)
        self.path = Path(path).expanduser()
        self.compression = compression
        self.max_bytes = max_bytes
        self.memory_bytes = memory_bytes
        self._recent = Recent(memory_bytes)
        self._opening = threading.Lock()
        self._database: Database | None = None
        _all[id(self)] = self

    def __repr__(self) -> str:
        return f"TokenStore({str(self.path)!r}, compression={self.compression!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._settings()

    def __deepcopy__(self, memo: object) -> TokenStore:
        return self  # a handle: two would only share less memory

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenStore) and other._settings() == self._settings()

    def __hash__(self) -> int:
        return hash(self._settings())

    def _settings(self) -> tuple[str, str, int | None, int]:
        return str(self.path), self.compression, self.max_bytes, self.memory_bytes

    # --- entries ---

    def get(self, shelf: Shelf, keys: Sequence[bytes]) -> list[StoredText | None]:
        """Entries in the order of their keys; None for what is missing or damaged.

        Raises:
            StoreError: The store cannot be read.
        """
        now = _now()
        found: dict[bytes, StoredText] = {}
        old: list[bytes] = []
        wanted: list[bytes] = []
        for key in dict.fromkeys(keys):
            kept = self._recent.get(key)
            if kept is None:
                wanted.append(key)
                continue
            text, used = kept
            found[key] = text
            if used < now:
                old.append(key)
                self._recent.put(key, text, now)
        for key, text, used in self._read(shelf, wanted):
            found[key] = text
            self._recent.put(key, text, now)
            if used < now:
                old.append(key)
        if old:
            self._touch(old, now)
        return [found.get(key) for key in keys]

    def missing(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those of the keys that have no entry; the entries themselves are not read."""
        wanted = set(keys)
        with self.open().reading() as connection:
            for part in _parts(list(wanted)):
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT key FROM entries WHERE key IN ({marks})", part)
                wanted.difference_update(key for (key,) in rows)
        return wanted

    def put(self, shelf: Shelf, texts: Mapping[bytes, StoredText]) -> None:
        """Write entries; when this returns they outlive the process.

        Raises:
            StoreError: They cannot be written: no room on the disk, no rights.
        """
        now = _now()
        database = self.open()
        rows = [(key, text, pack(key, text)) for key, text in texts.items()]
        if not rows:
            return
        with database.writing() as connection:
            model = _model_id(connection, shelf)
            if self.max_bytes is not None:
                needed = sum(len(entry) + _PAGE for _, _, entry in rows)
                gone = make_room(connection, needed, self.max_bytes)
                if gone:
                    logger.info("%s was full: %d entries removed", self.path, gone)
            connection.executemany(
                "INSERT OR REPLACE INTO entries (key, model, used, vectors, size, data) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(key, model, now, text.vectors, len(entry), entry) for key, text, entry in rows],
            )
        for key, text, _ in rows:
            self._recent.put(key, text, now)

    # --- what a compression has learned ---

    def codec(self, fingerprint: bytes, compression: str) -> bytes | None:
        """What a compression has learned for a model; None if nothing yet."""
        with self.open().reading() as connection:
            row = connection.execute(
                "SELECT codec FROM models WHERE fingerprint = ? AND compression = ?",
                (fingerprint, compression),
            ).fetchone()
        return None if row is None else row[0]

    def learn(self, shelf: Shelf, codec: bytes) -> bytes:
        """Keep what was learned, unless another process was faster; returns what counts."""
        with self.open().writing() as connection:
            model = _model_id(connection, shelf)
            connection.execute(
                "UPDATE models SET codec = ? WHERE id = ? AND codec IS NULL", (codec, model)
            )
            row = connection.execute("SELECT codec FROM models WHERE id = ?", (model,)).fetchone()
        counts: bytes = row[0]
        return counts

    # --- care ---

    def info(self) -> StoreInfo:
        """What the store holds.

        Raises:
            StoreError: The store cannot be read.
        """
        return describe(self.open(), self.max_bytes)

    def verify(self) -> Verified:
        """Read every entry, and remove those that are not what was written.

        Raises:
            StoreError: The file is damaged beyond its entries.
        """
        self._recent.forget()
        return verify(self.open())

    def prune(
        self,
        *,
        max_bytes: int | None = None,
        unused_days: float | None = None,
        model: str | None = None,
    ) -> Pruned:
        """Remove entries, and give the room back to the disk.

        Args:
            max_bytes: Remove what has not been used for longest until no more is held.
            unused_days: Remove what has not been used for so long.
            model: Remove everything of this model: its name, or how its fingerprint begins.

        Raises:
            ValueError: Out of range, or a model of which the store holds nothing.
        """
        _check_bytes("max_bytes", max_bytes, 0)
        if unused_days is not None and not unused_days >= 0:
            raise ValueError(f"unused_days must be 0 or more, not {unused_days!r}")
        since = None if unused_days is None else _now() - int(unused_days * 24)
        pruned = prune(self.open(), max_bytes, since, model)
        self._recent.forget()
        return pruned

    def close(self) -> None:
        """Close the file; it opens again when it is needed."""
        with self._opening:
            if self._database is not None:
                self._database.close()
        self._recent.forget()

    # --- inside ---

    def open(self) -> Database:
        """Open the file, if it is not open.

        Raises:
            StoreError: It is damaged, foreign, or cannot be made.
        """
        database = self._database
        if database is None:
            with self._opening:
                if self._database is None:
                    self._database = Database(self.path)
                database = self._database
        return database

    def _read(self, shelf: Shelf, keys: Sequence[bytes]) -> list[tuple[bytes, StoredText, int]]:
        if not keys:
            return []
        found = []
        damaged = []
        with self.open().reading() as connection:
            cursor = connection.cursor()
            for key in keys:
                row = cursor.execute(
                    "SELECT data, used FROM entries WHERE key = ?", (key,)
                ).fetchone()
                if row is None:
                    continue
                text = unpack(key, row[0], shelf.record)
                if text is None:
                    damaged.append(key)
                else:
                    found.append((key, text, row[1] if isinstance(row[1], int) else 0))
        if damaged:
            logger.warning("%s: %d damaged entries are encoded again", self.path, len(damaged))
        return found

    def _touch(self, keys: Sequence[bytes], now: int) -> None:
        """Note that entries were used, if nobody is writing: it is not worth waiting for."""
        database = self.open()
        if database.read_only:
            return
        try:
            with database.writing(wait=False) as connection:
                connection.executemany(
                    "UPDATE entries SET used = ? WHERE key = ?", [(now, key) for key in keys]
                )
        except StoreBusyError as error:
            logger.debug("%s", error)


def open_store(store: str | os.PathLike[str] | TokenStore | None) -> TokenStore | None:
    """What an option says, as a store; a path means one with default settings."""
    return TokenStore(store) if isinstance(store, (str, os.PathLike)) else store


def _rebuild(path: str, compression: str, max_bytes: int | None, memory_bytes: int) -> TokenStore:
    return TokenStore(path, compression=compression, max_bytes=max_bytes, memory_bytes=memory_bytes)


def _now() -> int:
    """Hours: often enough to know what is used, seldom enough to write it down."""
    return int(time.time()) // _HOUR


def _check_bytes(name: str, value: object, least: int) -> None:
    if value is None and name == "max_bytes":
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a number of bytes, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def _parts(keys: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (keys[first : first + _AT_ONCE] for first in range(0, len(keys), _AT_ONCE))


def _model_id(connection: sqlite3.Connection, shelf: Shelf) -> int:
    names = (shelf.fingerprint, shelf.compression)
    connection.execute(
        "INSERT OR IGNORE INTO models (fingerprint, compression, name) VALUES (?, ?, ?)",
        (*names, shelf.name),
    )
    row = connection.execute(
        "SELECT id FROM models WHERE fingerprint = ? AND compression = ?", names
    ).fetchone()
    found: int = row[0]
    return found


def _after_fork() -> None:
    # Another thread may have held a lock when the child was forked.
    for store in list(_all.values()):
        store._opening = threading.Lock()
        store._recent.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
