"""Parts are measured one by one and kept together."""

from __future__ import annotations

import json

from benchmarks.store import Store, merge


def test_a_part_replaces_only_itself():
    known = {"cpu/bge/10": {"a": 1, "b": 2}, "cpu/bge/50": {"a": 3}}
    found = merge(known, {"cpu/bge/10": {"a": 9}})
    assert found == {"cpu/bge/10": {"a": 9}, "cpu/bge/50": {"a": 3}}


def test_parts_that_another_process_wrote_are_kept(tmp_path):
    path = tmp_path / "speed.json"
    first, second = Store(path), Store(path)
    first.put("a", {"seconds": [1.0]})
    second.put("b", {"seconds": [2.0]})
    assert set(json.loads(path.read_text("utf-8"))) == {"a", "b"}
    assert second.get("a") == {"seconds": [1.0]}


def test_numbers_of_a_list_stand_on_one_line_and_read_back(tmp_path):
    store = Store(tmp_path / "speed.json")
    part = {"seconds": [1.0, -2.5e-07, 3], "names": ["a", "b"], "none": [], "deep": [[1], [2, 3]]}
    store.put("a", part)
    assert "[1.0, -2.5e-07, 3]" in store.path.read_text("utf-8")
    assert Store(store.path).get("a") == part


def test_sizes_are_in_order_of_number(tmp_path):
    store = Store(tmp_path / "speed.json")
    for size in (1000, 50, 200, 10):
        store.put(f"cpu/bge/{size}", {"size": size})
    store.put("cpu/bgecolbert/1", {})
    assert [key for key, _ in store.under("cpu/bge")] == ["10", "50", "200", "1000"]
