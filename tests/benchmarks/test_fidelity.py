"""Whose rankings are compared with float32's."""

from __future__ import annotations

import pytest

pytest.importorskip("scipy", reason="needs the extra 'eval'")

from benchmarks import fidelity
from benchmarks.contestants import Contestant
from benchmarks.peers.base import Config
from benchmarks.setting import Setting
from benchmarks.store import Store

SMALL, BOTH, LARGE, ELSEWHERE = (
    Config(name, "int8") for name in ("small", "both", "large", "elsewhere")
)


class Peer:
    def configs(self, model):
        return [SMALL, BOTH, LARGE]


@pytest.fixture
def setting(tmp_path, monkeypatch):
    chosen = {"minilm-maxsim": [SMALL, BOTH], "bge": [BOTH, LARGE, ELSEWHERE]}
    monkeypatch.setattr(fidelity, "find", lambda key: Peer())
    monkeypatch.setattr(
        fidelity,
        "contestants",
        lambda setting, key, model: [Contestant(key, config, ()) for config in chosen[model]],
    )
    return Setting(Store(tmp_path / "speed.json"))


def test_what_the_full_size_model_runs_in_is_compared_too(setting):
    setting.store.put("sweep/bge/quick", {"tries": []})
    found = [one.config for one in fidelity._measured(setting, "quick", "minilm-maxsim")]
    assert found == [SMALL, BOTH, LARGE], "once each, and nothing that this model does not have"


def test_without_a_sweep_of_it_only_the_models_own_is_compared(setting):
    found = [one.config for one in fidelity._measured(setting, "quick", "minilm-maxsim")]
    assert found == [SMALL, BOTH]
