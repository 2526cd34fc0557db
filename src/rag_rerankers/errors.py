"""Everything that rag_rerankers raises on its own account.

    RerankError
    ├── ModelLoadError           a model that cannot be found, read or used as a reranker
    │   └── UnsafeWeightsError   weights that need an unsafe loader, or have a wrong checksum
    ├── MissingExtraError        an optional dependency is absent (also an ImportError)
    ├── ScoreError               a scorer returned what cannot be ranked (also a ValueError)
    ├── DataError                data to evaluate on that cannot be used (also a ValueError)
    ├── PlaidIndexError          a folder without a PLAID index that can be used
    ├── StoreError               a token store that cannot be opened, read or written
    ├── RemoteError              a server that gave no scores (its status, its url)
    │   ├── RemoteTimeoutError   it took longer than allowed (also a TimeoutError)
    │   └── CircuitOpenError     it failed too often, and is not asked for a while
    └── OutOfMemoryError         not even a single text fits the accelerator (also a MemoryError)

    TruncationWarning            texts were longer than the model reads (a UserWarning)
    RerankSkippedWarning         texts were returned in their order, unranked (a UserWarning)

Bad arguments raise the built-in ``TypeError`` and ``ValueError``, as they do everywhere in Python.
"""

from __future__ import annotations

__all__ = [
    "CircuitOpenError",
    "DataError",
    "MissingExtraError",
    "ModelLoadError",
    "OutOfMemoryError",
    "PlaidIndexError",
    "RemoteError",
    "RemoteTimeoutError",
    "RerankError",
    "RerankSkippedWarning",
    "ScoreError",
    "StoreError",
    "TruncationWarning",
    "UnsafeWeightsError",
]


class RerankError(Exception):
    """Base of all errors of this package."""


class ModelLoadError(RerankError):
    """A model cannot be found, cannot be read, or is not a reranker."""


class UnsafeWeightsError(ModelLoadError):
    """The weights are refused: they need an unsafe loader, or their checksum is wrong."""


class MissingExtraError(RerankError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        feature: What needs it.
        extra: Name of the extra that brings it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        self.extra = extra
        super().__init__(
            f"{feature} needs the extra {extra!r}. "
            f'Install it with: pip install "rag-rerankers[{extra}]"'
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        # The default would call __init__ with the message, and break a pool of processes.
        return type(self), (self.feature, self.extra)


class ScoreError(RerankError, ValueError):
    """A scorer returned scores that cannot be ranked: wrong length, or not a number."""


class DataError(RerankError, ValueError):
    """Data to evaluate on cannot be read, or contradicts itself; the message names the lines."""


class PlaidIndexError(RerankError):
    """A PLAID index is damaged, foreign, unfinished, or was made with another model."""


class StoreError(RerankError):
    """A token store is damaged, foreign, of another version, or cannot be written."""


class RemoteError(RerankError):
    """A server did not answer, refused, or answered with something else than scores.

    Attributes:
        url: Where it was asked; without names, passwords and keys.
        status: The HTTP status of its answer; None if there was none.
    """

    def __init__(self, message: str, *, url: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        self.status = status


class RemoteTimeoutError(RemoteError, TimeoutError):
    """A server's scores did not come within the time that the call was given."""


class CircuitOpenError(RemoteError):
    """A server failed so often in a row that it is left alone for a while."""


class OutOfMemoryError(RerankError, MemoryError):
    """The accelerator's memory does not hold even one text."""


class TruncationWarning(UserWarning):
    """Some texts were longer than the model reads, and were cut."""


class RerankSkippedWarning(UserWarning):
    """Scoring failed, and the texts were returned in their given order (``keep_order``)."""
