"""BAAI/bge-reranker-v2-m3 with its real weights, against numbers that its authors posted.

FlagEmbedding issue 987, FlagReranker in float16.
"""

from __future__ import annotations

import pytest

from rag_rerankers import Reranker

pytestmark = [pytest.mark.model, pytest.mark.enable_socket]

PANDA = "what is panda?"
PANDA_TEXTS = [
    "hi",
    "The giant panda (Ailuropoda melanoleuca), sometimes called a panda bear or simply panda, is a "
    "bear species endemic to China.",
]


@pytest.fixture
def reranker(real) -> Reranker:
    found: Reranker = real("bge-reranker-v2-m3")
    return found


def test_the_pair_of_the_model_card_scores_as_its_authors_say(reranker):
    (hit,) = reranker.rank("query", ["passage"])
    assert hit.score == pytest.approx(-5.65234375, abs=0.02)
    assert hit.relevance == pytest.approx(0.003497010252573502, rel=0.03)


def test_the_pandas_score_as_their_authors_say(reranker):
    hits = reranker.rank(PANDA, PANDA_TEXTS)
    assert [hit.index for hit in hits] == [1, 0]
    assert [hit.score for hit in hits] == pytest.approx([5.26171875, -8.1875], abs=0.03)


def test_bfloat16_ranks_the_pandas_alike(real):
    low = real("bge-reranker-v2-m3", dtype="bfloat16")
    found = low.rank(PANDA, PANDA_TEXTS)
    assert [hit.score for hit in found] == pytest.approx([5.26, -8.19], abs=0.3)
