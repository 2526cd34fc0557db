"""A scorer without sockets, and what the tests ask it."""

from __future__ import annotations

import math

import pytest
from tests.remote.servers import logit

from rag_rerankers import (
    RemoteScorer,
)

QUERY = "what is a panda"
TEXTS = ["rust", "a panda is a bear", "what is it", "paris " * 9]
LOGITS = [logit(QUERY, text) for text in TEXTS]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def scorer(server, url="http://h", **settings):
    return RemoteScorer(
        url, transport=server.transport, **{"retries": 0, "backoff": 0.0, **settings}
    )


async def score(remote, way, *args):
    return remote.score(*args) if way == "score" else await remote.ascore(*args)


both = pytest.mark.parametrize("way", ["score", "ascore"])
