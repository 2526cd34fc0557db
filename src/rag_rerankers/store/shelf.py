"""The part of a store that belongs to one model, and the keys of its entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["COMPRESSIONS", "DEFAULT_COMPRESSION", "Shelf"]

COMPRESSIONS = ("float16", "int8", "residual4", "residual2", "residual1")
DEFAULT_COMPRESSION = "int8"


@dataclass(frozen=True, slots=True)
class Shelf:
    """One model in one compression.

    Attributes:
        fingerprint: Of all that a text's vectors depend on beside the text.
        name: What the model is called, for people.
        compression: How vectors are kept.
        record: Bytes of a vector.
        codec: What the compression has learned, if it learns something.
    """

    fingerprint: bytes
    name: str
    compression: str
    record: int
    codec: bytes | None = None

    def keys(self, texts: Iterable[str]) -> list[bytes]:
        """Under what the entries of texts are kept: 16 bytes, made of all that they depend on."""
        made_of = blake2b(self.fingerprint + self.compression.encode(), digest_size=32)
        made_of.update(self.codec or b"")
        salt = made_of.digest()
        return [
            blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=salt).digest()
            for text in texts
        ]
