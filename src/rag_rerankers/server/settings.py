"""What a server serves, and its limits: one frozen, picklable record."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rag_rerankers.options import ModelOptions
from rag_rerankers.server.keys import check_keys
from rag_rerankers.server.names import ServedName, parse_name

__all__ = ["ServerSettings"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What :func:`~rag_rerankers.server.create_app` serves, to whom, and how much at once.

    Attributes:
        models: What ``Reranker`` takes, each under its own name or as ``"name=model"``; cascades
            as ``"cheap>strong"``. The first is used where a request names none.
        options: How all of them are loaded.
        keep: Texts that the later models of a cascade read. None: 15.
        api_keys: Who knows one of these may ask. Empty: everybody may.
        timeout: Seconds that a request may take, from the end of its body on.
        body_timeout: Seconds that a body may take to arrive.
        max_body_bytes: Of one request.
        max_documents: Of one request.
        max_tokens: Of one request, estimated; see
            :func:`~rag_rerankers.server.sizes.estimated_tokens`.
        max_queue: Requests that are worked on at once; what comes beyond is refused with 503.
        max_queue_tokens: Their tokens, estimated. A single request may exceed it.
        playground: Whether ``/`` is the playground page.

    Raises:
        TypeError, ValueError: A value out of range, or two models of one name.
    """

    models: tuple[str, ...] = ("minilm-maxsim",)
    options: ModelOptions = field(default_factory=ModelOptions)
    keep: int | None = None
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    timeout: float = 300.0
    body_timeout: float = 30.0
    max_body_bytes: int = 32 * _MIB
    max_documents: int = 5_000
    max_tokens: int = 2_000_000
    max_queue: int = 96
    max_queue_tokens: int = 2_000_000
    playground: bool = True

    def __post_init__(self) -> None:
        models: object = self.models
        if isinstance(models, str) or not models:
            raise ValueError(f"models must be a list of at least one model, not {models!r}")
        object.__setattr__(self, "models", tuple(self.models))
        seen: set[str] = set()
        for served in self.served():
            if served.name in seen:
                raise ValueError(
                    f"two models are named {served.name!r}: tell them apart with NAME=MODEL"
                )
            seen.add(served.name)
        object.__setattr__(self, "api_keys", check_keys(self.api_keys))
        for name in ("timeout", "body_timeout"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
                raise TypeError(f"{name} must be a number of seconds, not {seconds!r}")
            if not (0 < seconds < math.inf):
                raise ValueError(f"{name} must be more than 0 seconds, not {seconds!r}")
        for name in (
            "max_body_bytes",
            "max_documents",
            "max_tokens",
            "max_queue",
            "max_queue_tokens",
        ):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int):
                raise TypeError(f"{name} must be an int, not {number!r}")
            if number < 1:
                raise ValueError(f"{name} must be at least 1, not {number}")

    def served(self) -> list[ServedName]:
        """The models with the names that clients know them by, in the order given."""
        return [parse_name(model) for model in self.models]
