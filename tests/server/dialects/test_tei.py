from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import ask, post

PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")
QUERY = "the giant panda eats"
TEXTS = ["a red panda", "the giant panda eats bamboo", "the panda is black"]
BODY = {"query": QUERY, "texts": TEXTS}
BEST_FIRST = [
    {"index": 1, "score": 1.0},
    {"index": 2, "score": 0.5},
    {"index": 0, "score": 0.25},
]


@pytest.mark.parametrize("path", PATHS)
async def test_the_answer_word_for_word(overlap, path):
    assert await ask(overlap, path, BODY) == BEST_FIRST


async def test_raw_scores(overlap):
    hits = await ask(overlap, "/rerank", {**BODY, "raw_scores": True})
    assert [hit["score"] for hit in hits] == [4.0, 2.0, 1.0]


async def test_texts_come_back_if_asked_for(overlap):
    hits = await ask(overlap, "/rerank", {**BODY, "return_text": True})
    assert hits == [{**hit, "text": TEXTS[hit["index"]]} for hit in BEST_FIRST]


@pytest.mark.parametrize(("top_n", "kept"), [(None, 3), (0, 3), (1, 1), (9, 3)])
async def test_top_n_is_meant_where_a_client_sends_it(overlap, top_n, kept):
    assert await ask(overlap, "/rerank", {**BODY, "top_n": top_n}) == BEST_FIRST[:kept]


@pytest.mark.parametrize(
    "more",
    [
        {"truncate": True, "truncation_direction": "Right"},
        {"truncate": False, "truncation_direction": "right"},
        dict.fromkeys(["model", "raw_scores", "return_text", "truncate", "truncation_direction"]),
        {"model": "whatever"},
        {"unknown": {"x": 1}},
    ],
)
async def test_what_changes_nothing_is_let_through(overlap, more):
    assert await ask(overlap, "/rerank", {**BODY, **more}) == BEST_FIRST


async def test_no_texts_have_no_results(overlap):
    assert await ask(overlap, "/rerank", {"query": "a", "texts": []}) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": None}, "query: Input should be a valid string, not null"),
        ({"query": {"text": "a"}}, "query: Input should be a valid string, not an object"),
        ({"texts": "a"}, "texts: Input should be a valid list, not a string"),
        ({"texts": None}, "texts: Input should be a valid list, not null"),
        ({"texts": ["a", {"text": "a"}]}, "texts.1: Input should be a valid string, not an object"),
        ({"texts": [1, 2, 3]}, "texts.0: Input should be a valid string, not 1"),
        ({"raw_scores": "perhaps"}, "raw_scores"),
        ({"truncation_direction": "Left"}, "truncation_direction: Input should be 'right' or"),
    ],
)
async def test_mistakes_are_told_in_its_own_words(overlap, change, message):
    answer = await post(overlap, "/v1/rerank", {**BODY, **change})
    said = answer.json()
    assert answer.status_code == 422
    assert set(said) == {"error", "error_type", "message", "detail"}
    assert message in said["error"]
    assert said["error_type"] == "Validation"
    assert said["message"] == said["error"]
    assert {one["loc"][1] for one in said["detail"]} == set(change)
