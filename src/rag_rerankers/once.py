"""What a process makes once for each key, however many threads ask for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["OncePerKey"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class OncePerKey(Generic[Key, Value]):
    """Values that are slow to make, kept for the life of the process.

    Threads that ask for the same key at the same time wait for one making; other keys are made
    beside it. A making that fails is tried again at the next call.

    Example:
        >>> squares = OncePerKey[int, int]()
        >>> squares.get(3, lambda: 9), squares.get(3, lambda: 0)
        (9, 9)
    """

    def __init__(self) -> None:
        self._values: dict[Key, Value] = {}
        self._locks: dict[Key, threading.Lock] = {}
        self._guard = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_locks)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of a key; made if there is none."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._values:
                self._values[key] = make()
            return self._values[key]

    def clear(self) -> None:
        """Forget all of them; each is freed once nobody uses it."""
        with self._guard:
            self._values.clear()
            self._locks.clear()

    def _renew_locks(self) -> None:
        # A lock that another thread held at the fork would never be released in the child.
        self._guard = threading.Lock()
        self._locks.clear()
