"""The entries that were used last, in memory: what is asked for all the time is not read again."""

from __future__ import annotations

import threading
from collections import OrderedDict

from rag_rerankers.store.entries import StoredText

__all__ = ["Recent"]

_OVERHEAD = 300
"""Bytes that an entry takes beside its vectors."""


class Recent:
    """A bounded table; what has not been used for longest goes first.

    An entry never changes, as its key is made of its content: it cannot be out of date.

    Args:
        max_bytes: Bytes of all entries together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.renew()

    def renew(self) -> None:
        """Begin anew in a forked child, where the lock may be one that nobody will ever release."""
        self._lock = threading.Lock()
        self._texts: OrderedDict[bytes, tuple[StoredText, int]] = OrderedDict()
        self._size = 0

    def forget(self) -> None:
        """Drop everything; others may be reading and writing."""
        with self._lock:
            self._texts.clear()
            self._size = 0

    def get(self, key: bytes) -> tuple[StoredText, int] | None:
        """An entry, and when it was last used."""
        with self._lock:
            found = self._texts.get(key)
            if found is not None:
                self._texts.move_to_end(key)
            return found

    def put(self, key: bytes, text: StoredText, used: int) -> None:
        """Keep an entry."""
        size = len(text.records) + _OVERHEAD
        if size > self._max_bytes:
            return
        with self._lock:
            old = self._texts.pop(key, None)
            if old is not None:
                self._size -= len(old[0].records) + _OVERHEAD
            self._texts[key] = (text, used)
            self._size += size
            while self._size > self._max_bytes:
                _, (gone, _) = self._texts.popitem(last=False)
                self._size -= len(gone.records) + _OVERHEAD
