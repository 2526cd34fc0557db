from __future__ import annotations

import time

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import ask, post, serving
from tests.stand_ins import Given

from rag_rerankers import Reranker
from rag_rerankers.metering import count

PAIRS = [("text_1", "text_2"), ("data_1", "data_2"), ("queries", "documents"), ("queries", "items")]
TEXTS = ["a red panda", "the giant panda eats bamboo", "the panda is black"]


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
async def test_the_answer_word_for_word(overlap, path):
    before = int(time.time())
    body = {"text_1": "the giant panda eats", "text_2": TEXTS}
    answer = await ask(overlap, path, body, x_request_id="mine")
    assert before <= answer.pop("created") <= time.time()
    assert answer == {
        "id": "score-mine",
        "object": "list",
        "model": "overlap",
        "data": [
            {"index": 0, "object": "score", "score": 0.25},
            {"index": 1, "object": "score", "score": 1.0},
            {"index": 2, "object": "score", "score": 0.5},
        ],
        "usage": {"prompt_tokens": 12, "total_tokens": 12, "completion_tokens": 0},
    }


async def scores(client, body) -> list[float]:
    answer = await ask(client, "/score", body)
    assert [item["index"] for item in answer["data"]] == list(range(len(answer["data"])))
    return [item["score"] for item in answer["data"]]


@pytest.mark.parametrize(("left", "right"), PAIRS)
async def test_all_names_of_the_two_sides(overlap, left, right):
    assert await scores(overlap, {left: "giant panda", right: TEXTS}) == [0.25, 0.5, 0.25]
    assert await scores(overlap, {left: ["giant panda"], right: TEXTS}) == [0.25, 0.5, 0.25]
    assert await scores(overlap, {left: "panda", right: "panda"}) == [0.25]


async def test_as_many_with_as_many(overlap):
    body = {"text_1": ["the", "bamboo the", "is black a"], "text_2": TEXTS}
    assert await scores(overlap, body) == [0.0, 0.5, 0.5]


async def test_equal_queries_are_asked_once_and_the_order_stays():
    class Told:
        """Counts a token for each text, and remembers what it was asked."""

        def __init__(self):
            self.asked = []

        def score(self, query, texts):
            self.asked.append((query, list(texts)))
            count(tokens=len(texts))
            return [len(query) * 10.0 + len(text) for text in texts]

    told = Told()
    async with serving(scorer=told) as client:
        body = {
            "queries": ["aa", "b", "aa", "b"],
            "documents": ["1", "22", "333", "4444"],
            "use_activation": False,
        }
        answer = await ask(client, "/score", body)
    assert told.asked == [("aa", ["1", "333"]), ("b", ["22", "4444"])]
    assert [item["score"] for item in answer["data"]] == [21.0, 12.0, 23.0, 14.0]
    assert answer["usage"]["total_tokens"] == 4


async def test_without_an_activation_scores_are_raw():
    load = lambda model, settings: Reranker(Given(-3.0, 7.0))  # noqa: E731
    async with serving(load=load) as client:
        body = {"text_1": "a", "text_2": ["b", "c"]}
        assert await scores(client, {**body, "use_activation": False}) == [-3.0, 7.0]
        # The logistic function of -3 and 7.
        for more in ({}, {"use_activation": True}, {"use_activation": None}):
            assert await scores(client, {**body, **more}) == pytest.approx(
                [0.0474258732, 0.9990889488], abs=1e-9
            )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "text_1 and text_2 are needed (or queries and documents)"),
        ({"text_1": "a"}, "text_1 and text_2 are needed"),
        ({"text_1": "a", "documents": ["a"]}, "text_1 and text_2 are needed"),
        ({"text_1": None, "text_2": ["a"]}, "text_1 and text_2 are needed"),
        ({"text_1": "a", "text_2": []}, "text_1 has 1 texts and text_2 has 0"),
        ({"text_1": [], "text_2": []}, "text_1 has 0 texts and text_2 has 0"),
        ({"text_1": [], "text_2": ["a"]}, "text_1 has 0 texts and text_2 has 1"),
        ({"queries": ["a", "b"], "items": ["a", "b", "c"]}, "queries has 2 texts and items has 3"),
        ({"text_1": ["a", "b"], "text_2": "a"}, "text_1 has 2 texts and text_2 has 1"),
        ({"text_1": 3, "text_2": ["a"]}, "not 3"),
        ({"text_1": "a", "text_2": ["a", None]}, "not null"),
        ({"text_1": "a", "text_2": [["a"]]}, "not an array"),
    ],
)
async def test_mistakes(overlap, body, message):
    answer = await post(overlap, "/score", body)
    assert answer.status_code == 422
    assert message in answer.json()["message"]
