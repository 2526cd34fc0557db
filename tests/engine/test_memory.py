from __future__ import annotations

import ctypes
import sys

import pytest
from tests.kinds import CROSS_ENCODERS
from tests.samples import QUERY

from rag_rerankers.engine import memory
from rag_rerankers.scorers import parts


@pytest.fixture(autouse=True)
def found_anew():
    memory._trim.cache_clear()
    yield
    memory._trim.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is asked on Linux only")
def test_the_c_library_is_asked():
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("a C library without malloc_trim")
    assert memory._trim() is not None
    memory.give_back()


@pytest.mark.parametrize("broken", [AttributeError, OSError])
def test_a_system_without_it_does_without(monkeypatch, broken):
    def missing(_):
        raise broken

    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    memory.give_back()
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    memory._trim.cache_clear()
    memory.give_back()


def test_it_is_asked_after_every_part_of_many_texts_and_never_for_few(monkeypatch, loader):
    asked = []
    monkeypatch.setattr(parts, "give_back", lambda: asked.append(True))
    monkeypatch.setitem(parts._TEXTS, "cpu", 2)
    scorer = loader(CROSS_ENCODERS[0])
    scorer.score(QUERY, ["bear"] * 4)
    assert not asked
    scorer.score(QUERY, ["bear"] * 12)
    assert len(asked) == 4
