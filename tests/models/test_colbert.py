"""ColBERTv2 and answerai-colbert-small with real weights, against vectors that others posted."""

from __future__ import annotations

import pytest
import torch
from tests.samples import golden

from rag_rerankers import Reranker

pytestmark = [pytest.mark.model, pytest.mark.enable_socket]

GOLDEN = golden("colbert_real")
TEXT = GOLDEN["text"]


@pytest.fixture(params=GOLDEN["models"])
def known(request, real) -> tuple[Reranker, dict[str, torch.Tensor]]:
    expected = GOLDEN["models"][request.param]
    return real(request.param), {side: torch.tensor(rows) for side, rows in expected.items()}


def vectors(reranker: Reranker, side: str) -> torch.Tensor:
    encoder = reranker.scorer.encoder
    if side == "query":
        return encoder.query(TEXT).vectors.cpu()
    return encoder.documents([TEXT])[0]


@pytest.mark.parametrize("side", ["document", "query"])
def test_every_token_vector_is_the_one_that_was_posted(known, side):
    reranker, expected = known
    found = vectors(reranker, side)
    assert len(found) == len(expected[side])
    torch.testing.assert_close(found[:, :5], expected[side], atol=1e-3, rtol=0)


def test_the_score_is_maxsim_over_these_vectors(known):
    reranker, _ = known
    (hit,) = reranker.rank(TEXT, [TEXT])
    by_hand = (vectors(reranker, "query") @ vectors(reranker, "document").T).amax(1).sum()
    assert hit.score == pytest.approx(by_hand.item(), abs=1e-3)


@pytest.mark.parametrize("alias", GOLDEN["models"])
def test_pandas_are_told_from_snakes(real, alias):
    texts = ["Pandas is a library for data frames.", "The giant panda is a bear native to China."]
    assert real(alias).rank("which animal is called a panda?", texts)[0].index == 1
