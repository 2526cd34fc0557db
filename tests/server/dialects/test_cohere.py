from __future__ import annotations

import time

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import ask, post, serving

from rag_rerankers.server import ServerSettings
from rag_rerankers.server.dialects.cohere import parse
from rag_rerankers.server.dialects.job import Outcome
from rag_rerankers.server.problems import Problem
from rag_rerankers.types import RankedDocument

PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")
QUERY = "the giant panda eats"
# 1, 4 and 2 words in common; 3, 5 and 4 read.
TEXTS = ["a red panda", "the giant panda eats bamboo", "the panda is black"]


async def results(client, body) -> list[dict]:
    return (await ask(client, "/rerank", {"query": QUERY, "documents": TEXTS, **body}))["results"]


@pytest.mark.parametrize("path", PATHS)
async def test_the_answer_word_for_word(overlap, path):
    before = int(time.time())
    answer = await ask(
        overlap, path, {"query": QUERY, "documents": TEXTS}, x_request_id="of-the-client"
    )
    assert before <= answer.pop("created") <= time.time()
    assert answer == {
        "id": "rerank-of-the-client",
        "object": "rerank",
        "model": "overlap",
        "results": [
            {"index": 1, "relevance_score": 1.0},
            {"index": 2, "relevance_score": 0.5},
            {"index": 0, "relevance_score": 0.25},
        ],
        "usage": {"prompt_tokens": 12, "total_tokens": 12},
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": 12, "output_tokens": 0},
        },
    }


@pytest.mark.parametrize(
    ("top_n", "indices"), [(None, [1, 2, 0]), (0, [1, 2, 0]), (1, [1]), (2, [1, 2]), (9, [1, 2, 0])]
)
async def test_top_n(overlap, top_n, indices):
    assert [hit["index"] for hit in await results(overlap, {"top_n": top_n})] == indices


@pytest.mark.parametrize(
    "body",
    [{"raw_scores": True}, {"use_activation": False}, {"raw_scores": "true"}, {"raw_scores": 1}],
)
async def test_raw_scores(overlap, body):
    assert [hit["relevance_score"] for hit in await results(overlap, body)] == [4.0, 2.0, 1.0]


@pytest.mark.parametrize(
    "body", [{"raw_scores": False}, {"use_activation": True}, {"raw_scores": None}]
)
async def test_relevance_is_what_else_is_asked_for(overlap, body):
    assert [hit["relevance_score"] for hit in await results(overlap, body)] == [1.0, 0.5, 0.25]


OBJECTS = [
    "a red panda",
    {"text": "the giant panda eats bamboo", "id": 7, "more": {"x": [None]}},
    {"content": [{"type": "text", "text": "the panda"}, {"type": "text", "text": ""}]},
]


async def test_documents_may_be_objects(overlap):
    hits = await results(overlap, {"documents": OBJECTS})
    assert [hit["index"] for hit in hits] == [1, 2, 0]
    assert all(set(hit) == {"index", "relevance_score"} for hit in hits)


async def test_documents_come_back_as_objects(overlap):
    hits = await results(overlap, {"documents": OBJECTS, "return_documents": True})
    assert [hit["document"] for hit in hits] == [OBJECTS[1], OBJECTS[2], {"text": "a red panda"}]


@pytest.mark.parametrize("raw", [True, False])
async def test_documents_come_back_as_strings_to_clients_of_infinity(overlap, raw):
    body = {"documents": OBJECTS, "return_documents": True, "raw_scores": raw}
    hits = await results(overlap, body)
    assert [hit["document"] for hit in hits] == [
        "the giant panda eats bamboo",
        "the panda\n",
        "a red panda",
    ]


@pytest.mark.parametrize("flag", [None, False, "false", 0])
async def test_documents_do_not_come_back_unasked(overlap, flag):
    hits = await results(overlap, {"return_documents": flag})
    assert not any("document" in hit for hit in hits)


ANIMALS = [
    {"name": "panda", "eats": "bamboo", "legs": 4, "text": "the giant panda eats"},
    {"eats": "the panda", "wild": True, "name": None},
]


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        (["name", "eats"], ["name: panda\neats: bamboo", "eats: the panda"]),
        (["eats", "name"], ["eats: bamboo\nname: panda", "eats: the panda"]),
        (["legs", "wild", "eats"], ["legs: 4\neats: bamboo", "wild: True\neats: the panda"]),
        (["eats", "none"], ["eats: bamboo", "eats: the panda"]),
    ],
)
def test_the_fields_that_are_asked_for_are_read(fields, texts):
    job, _ = parse({"query": "panda", "documents": ANIMALS, "rank_fields": fields})
    assert job.texts == texts


def test_strings_have_no_fields():
    job, _ = parse({"query": "panda", "documents": ["a", ANIMALS[0]], "rank_fields": ["name"]})
    assert job.texts == ["a", "name: panda"]


def test_no_fields_are_as_good_as_none():
    job, _ = parse({"query": "panda", "documents": [ANIMALS[0]], "rank_fields": []})
    assert job.texts == ["the giant panda eats"]


def test_a_query_may_be_an_object():
    job, _ = parse({"query": {"text": "panda", "id": 3}, "documents": []})
    assert job.query == "panda"


def test_null_is_the_same_as_nothing_and_what_others_know_is_no_mistake():
    names = [
        "model",
        "top_n",
        "return_documents",
        "rank_fields",
        "raw_scores",
        "use_activation",
        "max_tokens_per_doc",
        "max_chunks_per_doc",
        "return_len",
        "priority",
        "kwargs",
    ]
    job, render = parse({"query": "a", "documents": ["a"], **dict.fromkeys(names)})
    assert (job.query, job.texts, job.model, job.top_n) == ("a", ["a"], None, None)
    odd = {"kwargs": "{}", "user": 3, "truncate_prompt_tokens": -1, "instruction": ["x"]}
    assert parse({"query": "a", "documents": ["a"], **odd})[0] == job
    assert "warnings" not in render(outcome())["meta"]


def outcome(**changes) -> Outcome:
    given = {
        "id": "1",
        "model": "m",
        "hits": [RankedDocument(index=0, text="a", score=2.0, relevance=0.5)],
        "tokens": 3,
        "cut": 0,
        "max_length": 8,
        "seconds": 0.1,
        "created": 1,
    }
    return Outcome(**{**given, **changes})


def test_warnings_say_what_was_not_done():
    _, render = parse({"query": "a", "documents": ["a"], "max_tokens_per_doc": 99})
    assert render(outcome(cut=2))["meta"]["warnings"] == [
        "max_tokens_per_doc is not supported: the model's own limit counts",
        "texts that were cut to the 8 tokens that the model reads: 2",
    ]
    assert render(outcome(cut=2, max_length=None))["meta"]["warnings"][1] == (
        "texts that were cut to the length that the model reads: 2"
    )


async def test_an_answer_tells_of_texts_that_were_cut(overlap):
    body = {"query": "panda", "documents": ["1 2 3 4 5 6 7 8 panda", "panda"]}
    answer = await ask(overlap, "/v2/rerank", body)
    assert [hit["index"] for hit in answer["results"]] == [1, 0]
    assert answer["meta"]["warnings"] == [
        "texts that were cut to the 8 tokens that the model reads: 1"
    ]


async def test_no_documents_have_no_results(overlap):
    answer = await ask(overlap, "/rerank", {"query": "a", "documents": []})
    assert answer["results"] == []
    assert answer["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


WRONG = [
    ({}, "query", "query: Field required"),
    ({"documents": "a"}, "documents", "documents: Input should be a valid list, not a string"),
    ({"documents": None}, "documents", "not null"),
    ({"documents": ["a", 3]}, "documents.1", "documents.1.str: Input should be a valid string"),
    ({"documents": ["a", [1]]}, "documents.1", "not an array"),
    ({"query": 3}, "query", "query.str: Input should be a valid string, not 3"),
    ({"query": {"txt": "a"}}, "query", "query.TextObject.text: Field required"),
    ({"query": None}, "query", "not null"),
    ({"top_n": True}, "top_n", "top_n: Input should be a valid integer, not true"),
    ({"top_n": "5"}, "top_n", "top_n: Input should be a valid integer, not a string"),
    ({"top_n": 2.5}, "top_n", "not 2.5"),
    ({"top_n": -1}, "top_n", "top_n: Input should be greater than or equal to 0, not -1"),
    ({"top_n": 2**31}, "top_n", "not 2147483648"),
    ({"model": 3}, "model", "model: Input should be a valid string, not 3"),
    ({"return_documents": "perhaps"}, "return_documents", "return_documents"),
    ({"rank_fields": "text"}, "rank_fields", "rank_fields"),
    ({"rank_fields": [1]}, "rank_fields", "rank_fields.0: Input should be a valid string, not 1"),
]


@pytest.mark.parametrize(("change", "field", "message"), WRONG, ids=str)
async def test_types_are_strict(overlap, change, field, message):
    body = {"query": "panda", "documents": ["a"], **change} if change else {"documents": ["a"]}
    answer = await post(overlap, "/rerank", body)
    assert answer.status_code == 422
    said = answer.json()
    assert message in said["message"]
    assert said["error"] == {
        "message": said["message"],
        "type": "invalid_request_error",
        "code": 422,
    }
    places = [".".join(map(str, one["loc"])) for one in said["detail"]]
    assert places
    assert all(place.startswith(f"body.{field}") for place in places)
    assert all(one["msg"] and one["type"] for one in said["detail"])


@pytest.mark.parametrize(
    ("document", "fields", "message"),
    [
        ({}, None, "documents.1: an object needs a string `text`"),
        ({}, None, "it has nothing"),
        ({"txt": "a", "id": 3}, None, "it has 'txt', 'id'"),
        ({"text": 3}, None, "it has 'text'"),
        ({"content": []}, None, "it has 'content'"),
        ({"content": "a"}, None, "it has 'content'"),
        ({"content": [{"type": "image_url"}]}, None, "it has 'content'"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}, None, "'content'"),
        ({"content": [{"type": "text", "text": 3}]}, None, "it has 'content'"),
        ({"content": [3]}, None, "it has 'content'"),
        ({"a": "x"}, ["b", "c"], "documents.1: has none of the rank_fields 'b', 'c', but 'a'"),
        ({"b": None}, ["b"], "documents.1: has none of the rank_fields 'b', but 'b'"),
        ({"b": ["x"]}, ["b"], "the field 'b' must be a string to be read, not an array"),
        ({"b": {}}, ["b"], "the field 'b' must be a string to be read, not an object"),
    ],
)
def test_an_object_without_a_text_is_refused(document, fields, message):
    with pytest.raises(Problem) as caught:
        parse({"query": "a", "documents": ["a", document], "rank_fields": fields})
    assert caught.value.status == 422
    assert message in caught.value.message


LONG = "canary " * 1000


@pytest.mark.parametrize(
    "body",
    [
        {"query": [LONG], "documents": [LONG]},
        {"query": LONG, "documents": [LONG, 3, LONG]},
        {"query": LONG, "documents": LONG},
        {"query": LONG, "documents": [LONG], "top_n": LONG},
        {"query": LONG, "documents": [{LONG: LONG}]},
        {"query": LONG, "documents": [{LONG: LONG}], "rank_fields": ["a", LONG + "x"]},
        {"query": LONG, "documents": [{LONG: [LONG]}], "rank_fields": [LONG]},
        {"query": {LONG: LONG}, "documents": [[LONG]]},
        {"query": LONG, "documents": [{str(i) + LONG: LONG for i in range(50)}]},
    ],
    ids=range(9),
)
async def test_a_refusal_repeats_no_text(overlap, body):
    answer = await post(overlap, "/rerank", body)
    assert answer.status_code == 422
    assert "canary canary canary canary canary canary" not in answer.text
    assert len(answer.text) < 3000


async def test_both_kinds_of_texts_are_refused(overlap):
    for path in PATHS:
        answer = await post(overlap, path, {"query": "a", "documents": ["a"], "texts": ["a"]})
        assert answer.status_code == 422
        assert "the body has both documents and texts" in answer.json()["message"]


async def test_a_body_names_its_model():
    settings = ServerSettings(models=("first", "second"), playground=False)
    async with serving(settings) as client:
        body = {"query": "a", "documents": ["a"]}
        assert (await ask(client, "/rerank", body))["model"] == "first"
        assert (await ask(client, "/rerank", {**body, "model": "second"}))["model"] == "second"
        assert (await ask(client, "/rerank", {**body, "model": None}))["model"] == "first"
        answer = await post(client, "/rerank", {**body, "model": "third"})
        assert answer.status_code == 404
        assert answer.json()["detail"] == "there is no model 'third' here, but 'first', 'second'"
