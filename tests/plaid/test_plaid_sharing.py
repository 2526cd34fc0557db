from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag_rerankers.errors import PlaidIndexError
from rag_rerankers.plaid import PlaidIndex, ashared_index, clear_shared_indexes, shared_index


class Opened:
    """Stands in for an open index."""


@pytest.fixture
def opens(monkeypatch):
    """The folders that were opened, in order."""
    found = []

    def slowly(path):
        found.append(str(path))
        threading.Event().wait(0.05)
        if "broken" in str(path):
            raise PlaidIndexError("no finished index")
        return Opened()

    monkeypatch.setattr(PlaidIndex, "open", slowly)
    clear_shared_indexes()
    yield found
    clear_shared_indexes()


def test_a_folder_is_opened_once_by_any_of_its_names(opens, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        names = [tmp_path / "index", str(tmp_path / "index"), "index", "./index"] * 4
        assert len(set(threads.map(shared_index, names))) == 1
    assert len(opens) == 1
    assert shared_index("other") is not shared_index("index")


async def test_asyncio(opens, tmp_path):
    assert await ashared_index(tmp_path) is shared_index(tmp_path)


def test_a_failure_is_tried_again(opens, tmp_path):
    for _ in range(2):
        with pytest.raises(PlaidIndexError):
            shared_index(tmp_path / "broken")
    assert len(opens) == 2


def test_what_is_forgotten_is_opened_again(opens, tmp_path):
    first = shared_index(tmp_path)
    clear_shared_indexes()
    assert shared_index(tmp_path) is not first
