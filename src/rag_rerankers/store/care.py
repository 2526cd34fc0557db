"""What a store is asked and told by whoever looks after it: information, checks, removal."""

from __future__ import annotations

import sqlite3

from rag_rerankers.store.database import Database
from rag_rerankers.store.entries import unpack
from rag_rerankers.store.eviction import evict, used_bytes
from rag_rerankers.store.reports import ModelInStore, Pruned, StoreInfo, Verified

__all__ = ["describe", "prune", "verify"]

_AT_ONCE = 256


def describe(database: Database, max_bytes: int | None) -> StoreInfo:
    """What the store holds. Reads an index only, not the entries."""
    with database.reading() as connection:
        used = used_bytes(connection)
        models = connection.execute(
            "SELECT id, fingerprint, name, compression FROM models ORDER BY id"
        ).fetchall()
        held = {
            model: numbers
            for model, *numbers in connection.execute(
                "SELECT model, count(*), sum(vectors), sum(size) "
                "FROM entries INDEXED BY entries_by_use GROUP BY model"
            )
        }
    return StoreInfo(
        str(database.folder),
        database.size(),
        used,
        max_bytes,
        tuple(
            ModelInStore(fingerprint.hex(), name, compression, *held.get(id_, (0, 0, 0)))
            for id_, fingerprint, name, compression in models
        ),
    )


def verify(database: Database) -> Verified:
    """Read every entry, and remove those that are not what was written.

    Raises:
        StoreError: The file is damaged beyond its entries.
    """
    with database.reading() as connection:
        (told,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if told != "ok":
        raise database.damaged(told)
    entries = last = 0
    damaged: list[tuple[int, bytes]] = []
    while True:
        with database.reading() as connection:
            rows = connection.execute(
                "SELECT id, key, data FROM entries WHERE id > ? ORDER BY id LIMIT ?",
                (last, _AT_ONCE),
            ).fetchall()
        if not rows:
            break
        last = rows[-1][0]
        entries += len(rows)
        damaged += [(id_, key) for id_, key, data in rows if unpack(key, data) is None]
    if damaged:
        with database.writing() as connection:
            connection.executemany("DELETE FROM entries WHERE id = ? AND key = ?", damaged)
    return Verified(entries, len(damaged))


def prune(
    database: Database, max_bytes: int | None, used_since: int | None, model: str | None
) -> Pruned:
    """Remove entries, and give the room back to the disk."""
    before = database.size()
    gone = 0
    with database.writing() as connection:
        if model is not None:
            ids = _models_called(connection, model)
            marks = ",".join("?" * len(ids))
            gone += connection.execute(
                f"DELETE FROM entries WHERE model IN ({marks})", ids
            ).rowcount
            connection.execute(f"DELETE FROM models WHERE id IN ({marks})", ids)
        if used_since is not None:
            gone += connection.execute("DELETE FROM entries WHERE used < ?", (used_since,)).rowcount
        if max_bytes is not None:
            gone += evict(connection, used_bytes(connection) - max_bytes)
    database.vacuum()
    return Pruned(gone, max(0, before - database.size()))


def _models_called(connection: sqlite3.Connection, name: str) -> list[int]:
    rows = connection.execute("SELECT id, name, fingerprint FROM models").fetchall()
    found = [id_ for id_, called, print_ in rows if name == called or print_.hex().startswith(name)]
    if not name or not found:
        held = ", ".join(sorted({called for _, called, _ in rows})) or "nothing at all"
        raise ValueError(f"the store holds nothing of a model {name!r}; it holds {held}")
    return found
