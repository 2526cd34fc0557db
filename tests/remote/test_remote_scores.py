from __future__ import annotations

import pytest
from tests.remote.asking import LOGITS, QUERY, TEXTS, both, score, scorer, sigmoid
from tests.remote.servers import Infinity, Jina, LlamaCpp, Native, Tei, Vllm, logit

from rag_rerankers import (
    AsyncScorer,
    CalibratedScorer,
    CalibratedScores,
    RemoteScorer,
    Reranker,
)
from rag_rerankers.metering import metered


def test_it_is_a_scorer_of_three_kinds():
    remote = RemoteScorer("http://h")
    assert isinstance(remote, AsyncScorer)
    assert isinstance(remote, CalibratedScorer)


@both
@pytest.mark.parametrize(
    ("kind", "scores", "relevance"),
    [
        (Native, LOGITS, [(value + 10) / 20 for value in LOGITS]),
        (Tei, LOGITS, [sigmoid(value) for value in LOGITS]),
        (Infinity, LOGITS, [sigmoid(value) for value in LOGITS]),
        (LlamaCpp, LOGITS, [sigmoid(value) for value in LOGITS]),
        # These give relevance; a second sigmoid would press it together.
        (Vllm, [sigmoid(value) for value in LOGITS], [sigmoid(value) for value in LOGITS]),
        (Jina, [sigmoid(value) for value in LOGITS], [sigmoid(value) for value in LOGITS]),
    ],
)
async def test_scores_are_the_servers_and_relevance_is_no_second_sigmoid(
    way, kind, scores, relevance
):
    found = await score(scorer(kind()), way, QUERY, TEXTS)
    assert found == pytest.approx(scores)
    assert isinstance(found, CalibratedScores)
    assert found.relevance == pytest.approx(relevance)


@both
async def test_hits_have_the_servers_own_relevance(way):
    reranker = Reranker(scorer(Native()))
    rank = reranker.rank if way == "score" else None
    hits = rank(QUERY, TEXTS) if rank else await reranker.arank(QUERY, TEXTS)
    assert [hit.index for hit in hits] == [1, 2, 0, 3]
    for hit in hits:
        assert hit.score == pytest.approx(LOGITS[hit.index])
        assert hit.relevance == pytest.approx((LOGITS[hit.index] + 10) / 20)
    kept = reranker.rank(QUERY, TEXTS, threshold=(LOGITS[2] + 10) / 20)
    assert [hit.index for hit in kept] == [1, 2]


def test_logits_that_happen_to_lie_in_0_to_1_stay_logits():
    remote = scorer(LlamaCpp(lambda query, text: 0.5 if text == "half" else logit(query, text)))
    assert remote.score(QUERY, ["half"]).relevance == pytest.approx([sigmoid(0.5)])


def test_a_server_whose_first_numbers_look_like_relevance_is_understood_later():
    remote = scorer(LlamaCpp(lambda query, text: float(text) if text[-1].isdigit() else 0.5))
    assert remote.score("q", ["0.25"]).relevance == [0.25]
    assert remote.score("q", ["0.25", "4"]).relevance == pytest.approx([sigmoid(0.25), sigmoid(4)])
    assert remote.score("q", ["0.25"]).relevance == pytest.approx([sigmoid(0.25)])


def test_probabilities_that_were_rounded_stay_in_0_to_1():
    remote = scorer(LlamaCpp(lambda query, text: 1.0000001 if "panda" in text else 0.0))
    found = remote.score("q", ["panda", "rust"])
    assert (list(found), found.relevance) == ([1.0000001, 0.0], [1.0, 0.0])


def test_relevance_of_plain_numbers_learns_nothing_from_them():
    remote = scorer(Jina())
    remote.score(QUERY, TEXTS)
    assert remote.relevance(QUERY, [-1e9, 0.25, 1e9]) == [0.0, 0.25, 1.0]
    assert remote.score(QUERY, ["a panda is"]).relevance == pytest.approx(
        [sigmoid(logit(QUERY, "a panda is"))]
    )


def test_relevance_takes_what_score_returned():
    remote = scorer(Native())
    found = remote.score(QUERY, TEXTS)
    assert remote.relevance(QUERY, found) == found.relevance


@both
async def test_no_texts_ask_nobody(way):
    server = Native()
    found = await score(scorer(server), way, QUERY, [])
    assert (found, found.relevance, server.requests) == ([], [], [])


@both
async def test_tokens_are_counted_in_the_block_that_waits(way):
    with metered() as meter:
        await score(scorer(Native(), max_texts=2), way, QUERY, TEXTS)
    assert meter.tokens == 14
