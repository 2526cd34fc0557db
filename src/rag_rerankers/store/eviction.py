"""Room in a full store: what has not been used for longest goes."""

from __future__ import annotations

import sqlite3

from rag_rerankers.errors import StoreError

__all__ = ["evict", "make_room", "used_bytes"]

_KEPT = 0.9
"""Part of the bound that is left full: there is then nothing to do for a while."""
_AT_ONCE = 256


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of pages that hold something, by the counters in the file's head."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def make_room(connection: sqlite3.Connection, needed: int, max_bytes: int) -> int:
    """Remove entries if so many bytes more would pass the bound; returns how many.

    Raises:
        StoreError: They would not fit even into an empty store.
    """
    used = used_bytes(connection)
    if used + needed <= max_bytes:
        return 0
    if needed > max_bytes * _KEPT:
        raise StoreError(
            f"{needed} bytes do not fit into a token store of max_bytes={max_bytes}: give it "
            "more, or fewer texts at a time"
        )
    return evict(connection, used + needed - int(max_bytes * _KEPT))


def evict(connection: sqlite3.Connection, excess: int) -> int:
    """Remove entries of so many bytes together, or all; returns how many."""
    gone = 0
    while excess > 0:
        rows = connection.execute(
            "SELECT id, size FROM entries INDEXED BY entries_by_use ORDER BY used, id LIMIT ?",
            (_AT_ONCE,),
        ).fetchall()
        if not rows:
            break
        taken = []
        for id_, size in rows:
            if excess <= 0:
                break
            taken.append((id_,))
            excess -= size
        connection.executemany("DELETE FROM entries WHERE id = ?", taken)
        gone += len(taken)
    return gone
