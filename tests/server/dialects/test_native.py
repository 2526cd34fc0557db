from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import ask, post, serving
from tests.stand_ins import Given

from rag_rerankers import Reranker

QUERY = "the giant panda eats"
TEXTS = ["a red panda", "the giant panda eats bamboo", "the panda is black"]
BODY = {"query": QUERY, "texts": TEXTS}
HITS = [
    {"index": 1, "score": 4.0, "relevance": 1.0},
    {"index": 2, "score": 2.0, "relevance": 0.5},
    {"index": 0, "score": 1.0, "relevance": 0.25},
]


async def test_the_answer_word_for_word(overlap):
    answer = await ask(overlap, "/rank", BODY)
    assert 0 < answer.pop("seconds") < 20
    assert answer == {"model": "overlap", "hits": HITS, "tokens": 12, "truncated": 0}


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"top_n": None, "threshold": None, "model": None, "return_texts": None}, 3),
        ({"top_n": 0}, 0),
        ({"top_n": 2}, 2),
        ({"top_n": 99}, 3),
        ({"threshold": 0.5}, 2),
        ({"threshold": 1}, 1),
        ({"threshold": 0.0}, 3),
        ({"threshold": 0.5, "top_n": 1}, 1),
        ({"unknown": 1, "return_documents": True}, 3),
    ],
)
async def test_the_best_are_kept(overlap, more, kept):
    assert (await ask(overlap, "/rank", {**BODY, **more}))["hits"] == HITS[:kept]


async def test_texts_come_back_if_asked_for(overlap):
    hits = (await ask(overlap, "/rank", {**BODY, "return_texts": True}))["hits"]
    assert hits == [{**hit, "text": TEXTS[hit["index"]]} for hit in HITS]


async def test_scores_are_those_of_the_process_to_the_last_bit():
    scores = (0.1 + 0.2, -1e-300, 1.7976931348623157e308)
    load = lambda model, settings: Reranker(Given(*scores))  # noqa: E731
    async with serving(load=load) as client:
        hits = (await ask(client, "/rank", {"query": "a", "texts": ["a", "b", "c"]}))["hits"]
    assert [hit["score"] for hit in hits] == sorted(scores, reverse=True)


async def test_cut_texts_are_counted(overlap):
    answer = await ask(overlap, "/rank", {"query": "a", "texts": ["1 2 3 4 5 6 7 8 9", "1"]})
    assert (answer["tokens"], answer["truncated"]) == (9, 1)


async def test_no_texts_have_no_hits(overlap):
    assert (await ask(overlap, "/rank", {"query": "a", "texts": []}))["hits"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": None}, "query: Input should be a valid string, not null"),
        ({"query": 1}, "query: Input should be a valid string, not 1"),
        ({"texts": {}}, "texts: Input should be a valid list, not an object"),
        ({"texts": ["a", True]}, "texts.1: Input should be a valid string, not true"),
        ({"top_n": True}, "top_n: Input should be a valid integer, not true"),
        ({"top_n": -1}, "not -1"),
        ({"threshold": 1.5}, "threshold: Input should be less than or equal to 1, not 1.5"),
        ({"threshold": -0.1}, "not -0.1"),
        ({"threshold": True}, "threshold: Input should be a valid number, not true"),
        ({"threshold": "0.5"}, "threshold: Input should be a valid number, not a string"),
        ({"threshold": 10**400}, "threshold"),
    ],
)
async def test_mistakes(overlap, change, message):
    answer = await post(overlap, "/rank", {**BODY, **change})
    assert answer.status_code == 422
    assert message in answer.json()["message"]


async def test_of_many_mistakes_some_are_named(overlap):
    answer = await post(
        overlap,
        "/rank",
        {"query": 1, "texts": 2, "model": 3, "top_n": -4, "threshold": 5, "return_texts": 6},
    )
    said = answer.json()
    assert [one["loc"] for one in said["detail"]] == [
        ["body", name] for name in ("query", "texts", "model", "top_n", "threshold", "return_texts")
    ]
    assert said["message"].endswith("(and 1 more)")
