from __future__ import annotations

from pathlib import Path

import pytest
from tests.kinds import Make
from tests.plaid.passages import passages

from rag_rerankers import Reranker
from rag_rerankers.plaid import PlaidIndex


@pytest.fixture(scope="session")
def reranker(make: Make) -> Reranker:
    """A tiny ColBERT with random weights."""
    return Reranker(make("stanford_colbert"), device="cpu", dtype="float32")


@pytest.fixture
def index(reranker: Reranker, tmp_path: Path) -> PlaidIndex:
    """Sixty passages, p0 to p59."""
    texts = passages(60)
    ids = [f"p{number}" for number in range(60)]
    return PlaidIndex.build(tmp_path / "index", ids, texts, reranker)
