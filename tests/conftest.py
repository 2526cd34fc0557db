"""Checkpoints made once a run, and every kind of scorer over them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from tests.kinds import KINDS, Kind, Make

from rag_rerankers import CalibratedScorer, ModelOptions, clear_shared_rerankers, load_scorer
from tests import checkpoints

# The same examples on every run: a suite that fails now and then teaches nobody anything.
settings.register_profile("suite", derandomize=True, deadline=None, max_examples=60, database=None)
settings.load_profile("suite")


# Tiny models gain nothing from more threads, and lose much where other programs run.
torch.set_num_threads(1)


class Loader:
    """Loads scorers in float32 on the CPU, each configuration once."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._loaded: dict[tuple[str, ModelOptions], Any] = {}

    def __call__(self, kind: Kind, **options: Any) -> Any:
        folder = self._make(kind.maker, **kind.settings)
        chosen = ModelOptions(**{"device": "cpu", "dtype": "float32", **options})
        key = (str(folder), chosen)
        if key not in self._loaded:
            self._loaded[key] = load_scorer(folder, chosen)
        return self._loaded[key]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a checkpoint, each configuration once: do not change its files."""
    made: dict[str, Path] = {}
    root = tmp_path_factory.mktemp("checkpoints")

    def make_once(maker: str, **settings: Any) -> Path:
        key = f"{maker}-{json.dumps(settings, sort_keys=True)}"
        if key not in made:
            name = f"{maker}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
            made[key] = getattr(checkpoints, maker)(root / name, **settings)
        return made[key]

    return make_once


@pytest.fixture(scope="session")
def loader(make: Make) -> Loader:
    return Loader(make)


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def scorer(kind: Kind, loader: Loader) -> CalibratedScorer:
    """One scorer of every kind."""
    loaded: CalibratedScorer = loader(kind)
    return loaded


@pytest.fixture
def nothing_shared() -> Iterator[None]:
    """A process that has loaded no shared reranker yet, and keeps none."""
    clear_shared_rerankers()
    yield
    clear_shared_rerankers()
