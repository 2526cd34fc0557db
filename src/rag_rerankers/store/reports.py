"""What a token store says about itself and about what was done to it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ModelInStore", "Pruned", "StoreInfo", "Verified", "Warmed"]


@dataclass(frozen=True, slots=True)
class ModelInStore:
    """What a store holds of one model.

    Attributes:
        fingerprint: Of the model and of everything else that its vectors depend on, in hex.
        name: The name under which it was used first.
        compression: How its vectors are kept.
        entries: Texts.
        vectors: Token vectors of these texts.
        size: Bytes of their entries.
    """

    fingerprint: str
    name: str
    compression: str
    entries: int
    vectors: int
    size: int

    @property
    def bytes_per_vector(self) -> float:
        """Bytes of an entry for each of its vectors, head of the entry included."""
        return self.size / self.vectors if self.vectors else 0.0


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store holds.

    Attributes:
        path: Its folder.
        size: Bytes that its files take on the disk.
        used: Bytes of them that hold something; the rest is free for new entries.
        max_bytes: Its bound, if it was opened with one.
        models: What it holds of each model.
    """

    path: str
    size: int
    used: int
    max_bytes: int | None
    models: tuple[ModelInStore, ...]

    @property
    def entries(self) -> int:
        """Texts of all models."""
        return sum(model.entries for model in self.models)

    @property
    def vectors(self) -> int:
        """Token vectors of all models."""
        return sum(model.vectors for model in self.models)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of every entry found.

    Attributes:
        entries: Entries that were read.
        damaged: How many of them were not what had been written; they are removed, and encoded
            again when they are needed.
    """

    entries: int
    damaged: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed.

    Attributes:
        entries: How many entries.
        freed: Bytes that the store's files take less.
    """

    entries: int
    freed: int


@dataclass(frozen=True, slots=True)
class Warmed:
    """What warming a store did.

    Attributes:
        texts: Texts that were given.
        encoded: How many were encoded now; a text that was given twice is encoded once.
        cut: How many of these were longer than the model reads.
        seconds: How long it took.
    """

    texts: int
    encoded: int
    cut: int
    seconds: float

    @property
    def present(self) -> int:
        """Texts that the store held already, or that had been given before."""
        return self.texts - self.encoded
