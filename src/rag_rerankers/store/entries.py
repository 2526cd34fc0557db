"""One text's vectors as bytes: a head, the compressed vectors, and a checksum over all of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["StoredText", "pack", "unpack"]

_VERSION = 1
_HEAD = struct.Struct("<BBI")
_CHECK = 8
_CUT = 1


@dataclass(frozen=True, slots=True)
class StoredText:
    """What a store keeps of a text.

    Attributes:
        lengths: Vectors of each of its passages; one passage, unless it was split into windows.
        cut: Whether the text was longer than the model reads.
        records: Its vectors, compressed: records of one size, one for each vector.
    """

    lengths: tuple[int, ...]
    cut: bool
    records: bytes

    @property
    def vectors(self) -> int:
        """Vectors of all passages."""
        return sum(self.lengths)


def pack(key: bytes, text: StoredText) -> bytes:
    """The entry that is written under a key.

    The checksum covers the key: what is read under another key is not taken for its entry.
    """
    head = _HEAD.pack(_VERSION, _CUT if text.cut else 0, len(text.lengths))
    body = head + struct.pack(f"<{len(text.lengths)}I", *text.lengths) + text.records
    return _check(key, body) + body


def unpack(key: bytes, entry: object, record: int | None = None) -> StoredText | None:
    """Read an entry; None if it is not what was written under this key.

    Args:
        key: What it was found under.
        entry: What :func:`pack` made, perhaps.
        record: Bytes of a vector, to be sure of; None if it is not known.

    Example:
        >>> text = StoredText((2, 1), False, b"aabbcc")
        >>> entry = pack(b"key", text)
        >>> unpack(b"key", entry, 2) == text
        True
        >>> unpack(b"key", entry[:-1] + b"x", 2), unpack(b"yek", entry, 2)
        (None, None)
    """
    if not isinstance(entry, bytes):
        return None
    body = memoryview(entry)[_CHECK:]
    if len(body) < _HEAD.size or _check(key, body) != entry[:_CHECK]:
        return None
    version, flags, n_passages = _HEAD.unpack_from(body)
    start = _HEAD.size + 4 * n_passages
    if version != _VERSION or start > len(body):
        return None
    lengths = struct.unpack_from(f"<{n_passages}I", body, _HEAD.size)
    records = bytes(body[start:])
    if record is not None and sum(lengths) * record != len(records):
        return None
    return StoredText(lengths, bool(flags & _CUT), records)


def _check(key: bytes, body: bytes | memoryview) -> bytes:
    return blake2b(body, digest_size=_CHECK, key=key).digest()
