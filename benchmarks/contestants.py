"""Who takes part: peers and this project, each in some configuration."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from benchmarks import peers
from benchmarks.peers.base import Config, Model, Peer

__all__ = ["FLOOR", "OURS", "Contestant", "find", "keys_for"]

OURS = "ours"
FLOOR = "floor"
_OWN = {OURS: "benchmarks.ours:OURS", FLOOR: "benchmarks.floor:FLOOR"}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A peer in one configuration.

    Attributes:
        key: Of the peer, as :func:`find` takes it.
        config: How it runs.
        roles: Why it takes part: ``defaults``, ``best`` of all that were tried, ``best at DTYPE``.
    """

    key: str
    config: Config
    roles: tuple[str, ...] = ()

    @property
    def peer(self) -> Peer:
        """Who it is."""
        return find(self.key)

    @property
    def name(self) -> str:
        """As in the progress."""
        return f"{self.peer.name}, {self.config.label}"


def find(key: str) -> Peer:
    """The peer of a key: this project, the floor, one of ``PEERS``, or ``module:name``.

    Raises:
        KeyError: There is none, with those that there are.
    """
    key = _OWN.get(key, key)
    if ":" in key:
        module, _, name = key.partition(":")
        return cast(Peer, getattr(importlib.import_module(module), name))
    if key not in peers.PEERS:
        raise KeyError(f"no peer {key!r}; there are {', '.join(sorted(peers.PEERS))}")
    return peers.PEERS[key]


def keys_for(model: Model, wanted: Sequence[str] | None = None) -> list[str]:
    """Keys of the peers that can run a model.

    Args:
        model: The model.
        wanted: Only these; None for all.
    """
    keys = list(peers.PEERS) if wanted is None else list(wanted)
    return [key for key in keys if model in find(key).models]
