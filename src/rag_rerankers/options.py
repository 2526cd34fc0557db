"""How a model is to be loaded and run: one frozen, hashable, picklable record."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag_rerankers.store import TokenStore

__all__ = [
    "DTYPES",
    "LONG_DOCUMENTS",
    "ON_FAILURE",
    "ModelOptions",
    "check_api_key",
    "check_timeout",
]

DTYPES = ("auto", "float32", "bfloat16", "float16", "int8")
LONG_DOCUMENTS = ("truncate", "max_passage")
ON_FAILURE = ("raise", "keep_order")

# What only a model in this process, or only a server can be told; on_failure is the Reranker's.
_LOCAL = (
    "device",
    "dtype",
    "max_length",
    "revision",
    "long_documents",
    "batch_tokens",
    "local_files_only",
    "store",
)
_REMOTE = ("api_key", "timeout")


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
    on_failure: str = "raise"
    api_key: str | None = field(default=None, repr=False)
    timeout: float | None = None

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
        _one_of("on_failure", self.on_failure, ON_FAILURE)
        check_api_key(self.api_key)
        check_timeout(self.timeout)
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

    def refuse_unless_default(self, ready: object, *, allowed: Collection[str] = ()) -> None:
        """Refuse options that a ready scorer or Reranker would silently ignore.

        Args:
            ready: The scorer or Reranker.
            allowed: Names of options that are not ignored.

        Raises:
            ValueError: Some other option differs from its default.
        """
        changed = [name for name in self._changed() if name not in allowed]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} cannot be set for a ready model "
                f"({type(ready).__name__}): set it where the scorer is made"
            )

    def refuse_for_server(self, url: str) -> None:
        """Refuse options that a server's URL does not take.

        Args:
            url: Where the server is, fit to be shown.

        Raises:
            ValueError: Some option is one that the server was started with.
        """
        changed = [name for name in self._changed() if name in _LOCAL]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} cannot be set for the server {url}: "
                "set it where the server is started"
            )

    def refuse_for_local(self, name: str) -> None:
        """Refuse options that only a server's URL takes.

        Raises:
            ValueError: Some option has no meaning for a model in this process.
        """
        changed = [option for option in self._changed() if option in _REMOTE]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} is for the URL of a server, but {name!r} runs in this "
                "process: leave it out"
            )

    def only_for(self, *, server: bool) -> ModelOptions:
        """Those that a server's URL takes, or those that a model in this process takes."""
        defaults: dict[str, Any] = {f.name: f.default for f in fields(self)}
        dropped = (*(_LOCAL if server else _REMOTE), "on_failure")
        return replace(self, **{name: defaults[name] for name in dropped})

    def _changed(self) -> list[str]:
        return [f.name for f in fields(self) if getattr(self, f.name) != f.default]


def check_api_key(key: object) -> None:
    """Refuse a key that no header could carry; the message does not hold it.

    Raises:
        TypeError: It is neither a string nor None.
        ValueError: It is empty, or has characters that headers cannot have.
    """
    if key is None:
        return
    if not isinstance(key, str):
        raise TypeError(f"api_key must be a string or None, not {type(key).__name__}")
    if not key.strip() or not all(" " <= character <= "~" for character in key):
        raise ValueError(
            "api_key is empty, or has a line break or another character that a header cannot "
            "hold: give it as the server knows it"
        )


def check_timeout(timeout: object) -> None:
    """Refuse a timeout that is not a positive number of seconds.

    Raises:
        TypeError: It is neither a number nor None.
        ValueError: It is not above 0, or infinite.
    """
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
    if not 0 < float(timeout) < math.inf:
        raise ValueError(f"timeout must be above 0 (seconds) and finite, not {timeout}")


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
