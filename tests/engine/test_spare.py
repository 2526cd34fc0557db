from __future__ import annotations

import pytest
import torch

from rag_rerankers.engine import spare as module
from rag_rerankers.engine.spare import Spare


def test_memory_goes_from_pass_to_pass():
    spare = Spare()
    with spare.lent(100) as first:
        assert first.shape == (100,)
        assert first.dtype == torch.float32
        where = first.data_ptr()
    for numbers in (100, 7, 0):
        with spare.lent(numbers) as again:
            assert again.shape == (numbers,)
            assert again.untyped_storage().data_ptr() == where


def test_more_is_taken_anew_and_kept_in_its_place():
    spare = Spare()
    with spare.lent(10):
        pass
    with spare.lent(1000) as more:
        assert more.shape == (1000,)
    with spare.lent(10) as less:
        assert less.data_ptr() == more.data_ptr()
    assert len(spare._free) == 1


def test_passes_at_the_same_time_share_none():
    spare = Spare()
    with spare.lent(10) as one, spare.lent(10) as other:
        one.fill_(1.0)
        other.fill_(2.0)
        assert torch.equal(one, torch.ones(10))
    assert len(spare._free) == 2


def test_what_a_very_long_text_took_is_not_kept(monkeypatch):
    monkeypatch.setattr(module, "_MOST", 400)
    spare = Spare()
    with spare.lent(101):
        pass
    assert spare._free == []
    with spare.lent(100):
        pass
    assert len(spare._free) == 1


def test_a_pass_that_fails_leaves_it_too():
    spare = Spare()
    with pytest.raises(RuntimeError, match="failed"), spare.lent(10):
        raise RuntimeError("failed")
    assert len(spare._free) == 1
