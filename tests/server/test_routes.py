from __future__ import annotations

import asyncio
import threading
import time

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import Overlap, ask, post, serving

from rag_rerankers import ModelLoadError, Reranker, __version__
from rag_rerankers.server import ServerSettings

TWO = ServerSettings(models=("first", "second"), playground=False)


@pytest.mark.parametrize("path", ["/models", "/v1/models"])
async def test_models_are_listed_the_default_first(path):
    before = int(time.time())
    async with serving(TWO) as client:
        answer = (await client.get(path)).json()
    assert answer["object"] == "list"
    for item in answer["data"]:
        assert before <= item.pop("created") <= time.time()
    common = {
        "object": "model",
        "owned_by": "rag-rerankers",
        "kind": "other",
        "explains": False,
        "max_length": 8,
    }
    assert answer["data"] == [
        {"id": "first", "default": True, **common},
        {"id": "second", "default": False, **common},
    ]


async def test_health_while_models_are_loaded():
    go = threading.Event()

    def load(model, settings):
        assert model == "first" or go.wait(20)
        return Reranker(Overlap())

    body = {"query": "a", "texts": ["a"]}
    async with serving(TWO, load=load, ready=False) as client:
        for path in ("/health", "/health/live"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert answer.json() == {"status": "live", "version": __version__}
        first = next(iter(client.app.state.service.models))
        while first.reranker is None:
            await asyncio.sleep(0)
        answer = await client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        assert answer.json()["message"] == "the model 'second' is being loaded"
        kinds = [item["kind"] for item in (await client.get("/models")).json()["data"]]
        assert kinds == ["other", "loading"]
        assert len(await ask(client, "/rerank", body)) == 1
        answer = await post(client, "/rerank", {**body, "model": "second"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["error"] == "the model 'second' is being loaded"
        assert answer.json()["error_type"] == "Overloaded"
        go.set()
        while not client.app.state.service.ready:
            await asyncio.sleep(0)
        answer = await client.get("/health/ready")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ready", "version": __version__}


async def test_health_when_a_model_could_not_be_loaded():
    def load(model, settings):
        raise ModelLoadError("/a/secret/folder has no config.json")

    failures = []
    async with serving(TWO, load=load, ready=False, on_load_error=failures.append) as client:
        while not failures:
            await asyncio.sleep(0)
        assert isinstance(failures[0], ModelLoadError)
        assert (await client.get("/health")).status_code == 200
        for answer in (
            await client.get("/health/ready"),
            await post(client, "/rank", {"query": "a", "texts": ["a"]}),
        ):
            assert answer.status_code == 503
            assert "Retry-After" not in answer.headers
            assert answer.json()["message"] == "the model 'first' could not be loaded"
            assert "secret" not in answer.text
        assert "rag_rerankers_ready 0.0" in (await client.get("/metrics")).text


async def test_health_while_the_server_stops(overlap):
    overlap.app.state.service.gate.close()
    assert (await overlap.get("/health/live")).status_code == 200
    answer = await overlap.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["message"] == "the server is stopping"


async def test_only_some_models_explain(overlap):
    answer = await post(overlap, "/explain", {"query": "a", "text": "b"})
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        "'overlap' (other) cannot be explained: only late-interaction models compare the tokens of "
        "query and text one by one"
    )


async def test_an_explanation_adds_up_to_the_score(make):
    folder = make("bert_encoder")
    async with serving(
        ServerSettings(models=(f"late={folder}",), playground=False),
        load=lambda model, settings: Reranker(folder, device="cpu", dtype="float32"),
    ) as client:
        body = {"query": "giant panda", "text": "the panda is a bear."}
        answer = await ask(client, "/explain", body)
        ranked = await ask(client, "/rank", {"query": body["query"], "texts": [body["text"]]})
    assert (answer["model"], answer["query"], answer["text"]) == ("late", *body.values())
    assert answer["score"] == pytest.approx(ranked["hits"][0]["score"], abs=1e-4)
    assert answer["relevance"] == pytest.approx(ranked["hits"][0]["relevance"], abs=1e-4)
    matches = [match["similarity"] for match in answer["matches"]]
    total = sum(matches) / (len(matches) if answer["mean"] else 1)
    assert total == pytest.approx(answer["score"], abs=1e-4)
    for match in answer["matches"]:
        row = answer["similarities"][match["query_token"]]
        assert len(row) == len(answer["tokens"])
        assert match["similarity"] == max(value for value in row if value is not None)
        assert row[match["token"]] == match["similarity"]
    for token in answer["tokens"]:
        if token["kind"] == "text" and token["span"]:
            assert 0 <= token["span"][0] < token["span"][1] <= len(body["text"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"query": "a"}, "text: Field required"),
        ({"query": "a", "text": ["a"]}, "text: Input should be a valid string, not an array"),
        ({"query": 3, "text": "a"}, "query: Input should be a valid string, not 3"),
    ],
)
async def test_what_cannot_be_explained(overlap, body, message):
    answer = await post(overlap, "/explain", body)
    assert (answer.status_code, answer.json()["message"]) == (422, message)


async def test_what_there_is_not(overlap):
    answer = await overlap.get("/nothing")
    assert answer.status_code == 404
    assert answer.json() == {
        "message": "there is nothing at '/nothing'; /openapi.json lists what there is",
        "detail": answer.json()["message"],
        "error": {"message": answer.json()["message"], "type": "not_found_error", "code": 404},
    }
    assert len((await overlap.get("/" + "x" * 5000)).text) < 1000
    for path in ("/docs", "/redoc"):
        assert (await overlap.get(path)).status_code == 404


async def test_what_cannot_be_done(overlap):
    answer = await overlap.get("/rank")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.json()["message"] == "GET is not possible at '/rank'"
    assert answer.json()["error"]["type"] == "invalid_request_error"
