from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from rag_rerankers.engine import ending as module
from rag_rerankers.engine.ending import Ending, at_a_line, over_rows
from rag_rerankers.engine.int8_steps import Norm


def test_all_weights_have_names():
    named = {what: torch.tensor(float(n)) for n, what in enumerate(("weights", "bias"))}
    part, norm = SimpleNamespace(tensors=named), Norm(torch.ones(2), torch.zeros(2), 0.5)
    found = Ending(part, norm, part, part, norm).tensors
    owners = ("attended", "widen", "narrow", "attention norm", "norm")
    assert set(found) == {f"{owner} {what}" for owner in owners for what in named}
    assert found["widen bias"] is named["bias"]
    assert found["norm weights"] is norm.weight
    assert found["attention norm bias"] is norm.bias


@pytest.mark.parametrize(
    ("rows", "multiplications", "wanted"),
    [
        (0, 1e12, []),
        (7, 99, [(0, 7)]),
        (7, 100, [(0, 2), (2, 4), (4, 7)]),
        (2, 100, [(0, 1), (1, 2)]),
    ],
)
def test_much_work_is_divided(rows, multiplications, wanted, monkeypatch):
    monkeypatch.setattr(module, "_ALONE", 100)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    found: list[tuple[int, int]] = []
    over_rows(lambda first, stop: found.append((first, stop)), rows, multiplications)
    assert sorted(found) == wanted


@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16, torch.float32])
def test_a_copy_begins_with_a_cache_line(dtype, monkeypatch):
    empty = torch.empty
    for moved in range(0, 64, 4):
        monkeypatch.setattr(
            torch,
            "empty",
            lambda count, dtype, by=moved: empty(count + 64, dtype=dtype)[by // dtype.itemsize :],
        )
        tensor = torch.arange(30).to(dtype).view(5, 6).T
        copy = at_a_line(tensor)
        assert torch.equal(copy, tensor)
        assert copy.is_contiguous()
        assert copy.data_ptr() % 64 == 0
