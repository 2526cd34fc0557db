"""API keys: read from a file, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Keys", "check_keys", "read_keys"]

_LEAST = 8


class Keys:
    """The keys that open the server.

    Only their digests are held: neither a debugger's view nor the length of a comparison tells a
    key.

    Example:
        >>> keys = Keys(["correct horse"])
        >>> keys.open_for("Bearer correct horse"), keys.open_for("Bearer wrong"), bool(keys)
        (True, False, True)
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def open_for(self, authorization: str | None) -> bool:
        """Whether the header ``Authorization`` holds one of the keys, or none is needed."""
        if not self._digests:
            return True
        scheme, _, key = (authorization or "").strip().partition(" ")
        # Some clients of text-embeddings-inference send the bare key.
        given = _digest(key.strip() if scheme.lower() == "bearer" else authorization or "")
        # All of them: how long it takes must not tell which one was nearly right.
        found = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(found)


def read_keys(path: Path) -> tuple[str, ...]:
    """Keys from a file, one a line; empty lines and lines that begin with ``#`` are skipped.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds no key, or one that is too short; the message does not hold the key.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text: it must hold one key a line") from None
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise ValueError(f"{path} holds no API key: write one a line")
    return check_keys(keys)


def check_keys(keys: Iterable[str]) -> tuple[str, ...]:
    """Refuse keys that could be guessed or that no header can carry.

    Raises:
        TypeError, ValueError: The message counts the keys instead of showing them.
    """
    if isinstance(keys, str):
        raise TypeError("api_keys must be a list of strings, not one string")
    checked = tuple(keys)
    for number, key in enumerate(checked, 1):
        if not isinstance(key, str):
            raise TypeError(f"API key {number} must be a string, not {type(key).__name__}")
        if len(key) < _LEAST:
            raise ValueError(f"API key {number} has {len(key)} characters: use {_LEAST} or more")
        if not key.isascii() or not key.isprintable() or key != key.strip():
            raise ValueError(
                f"API key {number} cannot be sent in a header: use visible ASCII characters"
            )
    return checked


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
