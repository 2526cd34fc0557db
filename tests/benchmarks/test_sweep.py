"""Which configurations are measured, and beside whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import sweep
from benchmarks.contestants import Contestant
from benchmarks.cpu import fastest, heats, rounds_for
from benchmarks.peers import openvino_direct
from benchmarks.peers.base import Config
from benchmarks.setting import Setting
from benchmarks.store import Store

KEY = "tests.benchmarks.fake_peer:FAKE"
TRIES = [
    {"config": "defaults", "dtype": "float32", "seconds": [3.0, 3.2]},
    {"config": "a", "dtype": "float32", "seconds": [1.0, 4.0]},  # median 2.5
    {"config": "b", "dtype": "float32", "seconds": [2.0, 2.2]},  # median 2.1
    {"config": "c", "dtype": "int8", "seconds": [1.5]},
    {"config": "d", "dtype": "int8", "error": "did not load"},
]


def test_the_best_has_the_lowest_median_of_those_that_ran():
    assert sweep.best(TRIES)["config"] == "c"
    assert sweep.best(TRIES[:3])["config"] == "b"
    assert sweep.best(TRIES[-1:]) is None


def test_defaults_and_the_best_at_each_dtype_are_measured():
    configs = [Config(found["config"], found["dtype"]) for found in TRIES]
    assert sweep.chosen(configs, TRIES) == {
        "defaults": ("defaults",),
        "b": ("best at float32",),
        "c": ("best", "best at int8"),
    }


def test_the_best_of_each_method_is_measured():
    ways = {"a": "fixed", "b": "fixed", "c": "dynamic", "d": "dynamic"}
    configs = [Config("defaults"), *(Config(one, "int8", method=ways[one]) for one in ways)]
    seconds = {"defaults": 9.0, "a": 2.0, "b": 1.0, "c": 4.0, "d": 3.0}
    tries = [{"config": one, "dtype": "any", "seconds": [seconds[one]]} for one in seconds]
    assert sweep.chosen(configs, tries) == {
        "defaults": ("defaults", "best at float32"),
        "b": ("best", "best at int8", "best at int8, fixed"),
        "d": ("best at int8, dynamic",),
    }


def test_what_the_processor_emulates_is_left_out(monkeypatch):
    configs = [Config(dtype, dtype) for dtype in ("float32", "bfloat16", "float16", "int8")]

    def kept(*, native, all_dtypes=False):
        monkeypatch.setattr(sweep, "has_bfloat16", lambda: native)
        return [one.dtype for one in sweep.worth_trying(configs, all_dtypes=all_dtypes)]

    assert kept(native=False) == ["float32", "int8"]
    assert kept(native=True) == ["float32", "bfloat16", "int8"]
    assert kept(native=False, all_dtypes=True) == [one.dtype for one in configs]


@pytest.fixture
def setting(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "folder_of", lambda model: tmp_path)
    monkeypatch.setitem(sweep.CANDIDATES, "minilm-cross", 3)
    return Setting(Store(tmp_path / "speed.json"))


def test_a_sweep_finds_the_best_and_is_not_repeated(setting, monkeypatch):
    found = sweep.contestants(setting, KEY, "minilm-cross")
    roles = {one.config.label: one.roles for one in found}
    assert roles == {"defaults": ("defaults",), "fast": ("best", "best at float32")}
    stored = setting.store.get(f"sweep/minilm-cross/{KEY}")
    assert [one["config"] for one in stored["tries"]] == ["defaults", "fast", "broken"]
    assert "error" in stored["tries"][2]
    monkeypatch.setattr(sweep, "sweep", None)
    assert sweep.contestants(setting, KEY, "minilm-cross") == found


def test_what_is_hopeless_is_so_beside_tries_of_the_same_dtype(setting, monkeypatch):
    leaders = []

    def times(worker, count, leader):
        leaders.append(leader and leader["config"])
        return [1.0]

    monkeypatch.setattr(sweep, "_times", times)
    sweep.sweep(replace(setting, all_dtypes=True), KEY, "minilm-cross")
    assert leaders == [None, "defaults", None], "defaults, fast, emulated; broken did not load"


def test_openvinos_ways_to_round_are_told_apart(monkeypatch):
    monkeypatch.setattr(openvino_direct, "cpu_has", lambda *flags: True)
    found = {(one.dtype, one.method) for one in openvino_direct.PEER.configs("minilm-cross")}
    assert found == {
        ("float32", ""), ("bfloat16", ""), ("int8", "calibrated"), ("int8", "compressed"),
    }  # fmt: skip


def test_a_quick_sweep_or_one_of_another_machine_is_done_again(setting, monkeypatch):
    part = {"tries": TRIES[:1], "name": "fake", "candidates": 3}
    for settings in ({"quick": True}, {"machine": "another"}):
        setting.put(f"sweep/minilm-cross/{KEY}", part)
        stored = setting.store.get(f"sweep/minilm-cross/{KEY}")
        setting.store.put(f"sweep/minilm-cross/{KEY}", {**stored, **settings})
        again = []
        monkeypatch.setattr(sweep, "sweep", lambda *asked, a=again: a.append(asked) or TRIES[:1])
        sweep.contestants(setting, KEY, "minilm-cross")
        assert len(again) == 1


def _one(label, dtype, *roles):
    return Contestant(KEY, Config(label, dtype), roles)


def test_every_heat_has_this_project_at_its_best_and_at_the_same_dtype():
    ours = [
        _one("ours32", "float32", "defaults", "best at float32"),
        _one("ours8", "int8", "best", "best at int8"),
    ]
    others = [_one(f"p{n}", "float32") for n in range(3)] + [_one("q", "int8"), _one("r", "other")]
    planned = [[one.config.label for one in heat] for heat in heats(ours, others, 2)]
    assert planned == [
        ["ours8", "ours32", "p0", "p1"],
        ["ours8", "ours32", "p2"],
        ["ours8", "q"],
        ["ours8", "r"],
    ]


def test_who_is_fastest_by_the_largest_size_that_all_ran(tmp_path):
    store = Store(tmp_path / "speed.json")
    for key, seconds in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        tries = [{"config": "x", "dtype": "float32", "seconds": [seconds]}]
        store.put(f"sweep/bge/{key}", {"tries": tries})
    assert fastest(store, "bge", ["c", "b", "a"]) == ["a", "b"]
    heat = [{"peer": key, "seconds": [t]} for key, t in (("a", 9.0), ("b", 8.0), ("c", 7.0))]
    store.put("cpu/bge/50", {"left_out": [], "heats": [heat]})
    store.put("cpu/bge/200", {"left_out": ["c"], "heats": [heat[:1]]})
    assert fastest(store, "bge", ["a", "b", "c"]) == ["c", "b"]


def test_what_takes_long_runs_less_often():
    found = [rounds_for(work) for work in (1e10, 1e12, 5e12, 2e13)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 1
