from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import serving

from rag_rerankers.server import ServerSettings, create_app, schemas
from rag_rerankers.server.openapi import body_of

ROUTES = {
    "/rerank": "post",
    "/v1/rerank": "post",
    "/v2/rerank": "post",
    "/score": "post",
    "/v1/score": "post",
    "/rank": "post",
    "/explain": "post",
    "/models": "get",
    "/v1/models": "get",
    "/health": "get",
    "/health/live": "get",
    "/health/ready": "get",
    "/metrics": "get",
}


@pytest.fixture(scope="module")
def described():
    return create_app(ServerSettings(playground=False), load=lambda *_: None).openapi()


def refs(value) -> set[str]:
    """All places that a description points to."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(refs, value.values()))
    return set().union(*map(refs, value)) if isinstance(value, list) else set()


def test_every_route_is_there(described):
    found = {path: next(iter(item)) for path, item in described["paths"].items()}
    assert found == ROUTES


def test_operations_have_names_of_their_own(described):
    items = described["paths"].values()
    names = [operation["operationId"] for item in items for operation in item.values()]
    assert len(set(names)) == len(names)


def test_all_that_is_pointed_to_exists(described):
    for place in refs(described):
        node = described
        for part in place.removeprefix("#/").split("/"):
            node = node[part]


@pytest.mark.parametrize("path", [path for path, method in ROUTES.items() if method == "post"])
def test_what_ranks_may_be_refused_in_every_way(described, path):
    operation = described["paths"][path]["post"]
    statuses = {200, 400, 401, 404, 408, 413, 415, 422, 500, 502, 503, 504}
    assert {int(status) for status in operation["responses"]} == statuses
    assert "Retry-After" in operation["responses"]["503"]["headers"]
    assert operation["requestBody"]["required"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["X-Request-Timeout"]


def test_a_body_of_two_dialects_is_one_of_both(described):
    content = described["paths"]["/v1/rerank"]["post"]["requestBody"]["content"]
    assert content["application/json"]["schema"] == {
        "anyOf": [
            {"$ref": "#/components/schemas/RerankBody"},
            {"$ref": "#/components/schemas/TeiBody"},
        ]
    }
    assert body_of("RankBody")["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/RankBody"
    }


def test_bodies_say_what_they_need(described):
    known = described["components"]["schemas"]
    assert known["RerankBody"]["required"] == ["query", "documents"]
    assert known["TeiBody"]["required"] == ["query", "texts"]
    assert known["RankBody"]["required"] == ["query", "texts"]
    assert known["ExplainBody"]["required"] == ["query", "text"]
    assert "required" not in known["ScoreBody"]


def test_keys_are_described_where_there_are_any(described):
    assert "security" not in described
    settings = ServerSettings(api_keys=("long enough",), playground=False)
    described = create_app(settings, load=lambda *_: None).openapi()
    assert described["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    assert described["security"] == [{"key": []}]
    for path, item in described["paths"].items():
        for operation in item.values():
            assert operation.get("security") == ([] if path.startswith("/health") else None)


async def test_answers_are_as_they_are_described():
    async with serving() as client:
        body = {"query": "a", "documents": ["a", {"text": "b"}], "return_documents": True}
        answer = await client.post("/rerank", json=body)
        schemas.RerankedBody.model_validate(answer.json())
        answer = await client.post("/rerank", json={**body, "raw_scores": False})
        schemas.RerankedBody.model_validate(answer.json())
        answer = await client.post("/rerank", json={"query": "a", "texts": ["a"]})
        schemas.TeiHit.model_validate(answer.json()[0])
        answer = await client.post("/score", json={"text_1": "a", "text_2": ["a"]})
        schemas.ScoredBody.model_validate(answer.json())
        answer = await client.post("/rank", json={"query": "a", "texts": ["a"]})
        schemas.RankedBody.model_validate(answer.json())
        schemas.ModelList.model_validate((await client.get("/models")).json())
        schemas.Health.model_validate((await client.get("/health/ready")).json())
        answer = await client.post("/rank", json={"query": 1})
        schemas.ErrorBody.model_validate(answer.json())
        answer = await client.post("/rerank", json={"query": 1, "texts": []})
        schemas.TeiErrorBody.model_validate(answer.json())
        described = (await client.get("/openapi.json")).json()
        assert described["info"]["title"] == "rag-rerankers"
