"""How a model is to be loaded and run: one frozen, hashable, picklable record."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag_rerankers.store import TokenStore

__all__ = ["DTYPES", "LONG_DOCUMENTS", "ModelOptions"]

DTYPES = ("auto", "float32", "bfloat16", "float16", "int8")
LONG_DOCUMENTS = ("truncate", "max_passage")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Options of a model; what they mean is told at :class:`rag_rerankers.Reranker`.

    Raises:
        TypeError, ValueError: A value that no model could take; the message holds it.
    """

    device: str = "auto"
    dtype: str = "auto"
    max_length: int | None = None
    revision: str | None = None
    long_documents: str = "truncate"
    batch_tokens: int | None = None
    local_files_only: bool = False
    store: str | os.PathLike[str] | TokenStore | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.device, str):
            raise TypeError(
                f'device must be a string such as "cpu" or "cuda:0", not {self.device!r}'
            )
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("long_documents", self.long_documents, LONG_DOCUMENTS)
        _positive("max_length", self.max_length)
        _positive("batch_tokens", self.batch_tokens)
        if not isinstance(self.local_files_only, bool):
            raise TypeError(f"local_files_only must be a bool, not {self.local_files_only!r}")
        if self.revision is not None and not isinstance(self.revision, str):
            raise TypeError(f"revision must be a string or None, not {self.revision!r}")
        if isinstance(self.store, os.PathLike):
            # One spelling: options with the same store are equal.
            object.__setattr__(self, "store", os.fspath(self.store))
        if self.store is not None and not _is_store(self.store):
            raise TypeError(
                f"store must be the path of a folder, a TokenStore or None, not {self.store!r}"
            )

    def as_kwargs(self) -> dict[str, Any]:
        """The options as keyword arguments of :class:`rag_rerankers.Reranker`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def refuse_unless_default(self, scorer: object) -> None:
        """Refuse options that a ready scorer would silently ignore.

        Raises:
            ValueError: Some option differs from its default.
        """
        changed = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} cannot be set for a ready model "
                f"({type(scorer).__name__}): set it where the scorer is made"
            )


def _is_store(value: object) -> bool:
    if isinstance(value, str):
        return bool(value)
    from rag_rerankers.store import TokenStore

    return isinstance(value, TokenStore)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _positive(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int or None, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
