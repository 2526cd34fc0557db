"""The contract of every scorer, kept by a remote one over each dialect."""

from __future__ import annotations

import hashlib

import pytest
from tests.remote.servers import SERVERS
from tests.scorers.contract import ScorerContract

from rag_rerankers import RemoteScorer


def by_hash(query: str, text: str) -> float:
    digest = hashlib.sha256(f"{query}\0{text}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 * 16 - 8


class TestEveryDialect(ScorerContract):
    @pytest.fixture(params=SERVERS, ids=lambda kind: kind.__name__)
    def scorer(self, request):
        server = request.param(by_hash)
        return RemoteScorer("http://h", transport=server.transport, max_texts=5)
