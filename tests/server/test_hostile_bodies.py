"""Bodies that once did harm, or might: each gets an answer that is the client's own fault."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc

import pytest
from tests.stand_ins import Length

from rag_rerankers import Reranker

pytest.importorskip("fastapi")
import httpx

from rag_rerankers.server import ServerSettings, create_app

JSON = {"Content-Type": "application/json"}
LISTS = {
    "/rerank": ("documents", '"query":"a"'),
    "/v1/rerank": ("rank_fields", '"query":"a","documents":["a"]'),
    "/v2/rerank": ("texts", '"query":"a"'),
    "/score": ("text_2", '"text_1":"a"'),
    "/v1/score": ("queries", '"documents":["a"]'),
    "/rank": ("texts", '"query":"a"'),
}


@pytest.fixture
async def app():
    app = create_app(
        ServerSettings(models=("length=any", "other=any"), max_documents=1000),
        load=lambda model, settings: Reranker(Length()),
    )
    async with app.router.lifespan_context(app):
        service = app.state.service
        while not service.ready:
            await asyncio.sleep(0)
        yield app


@pytest.fixture
async def client(app):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e999999"])
@pytest.mark.parametrize("field", ['"x":{}', '"text":"b","x":[{{"y":{}}}]'])
async def test_numbers_beyond_floats_do_not_reach_an_answer(client, number, field):
    body = (
        '{"query":"a","return_documents":true,"documents":["a",{"text":"a",'
        + field.format(number)
        + "}]}"
    )
    answer = await client.post("/rerank", content=body, headers=JSON)
    assert answer.status_code in (200, 400, 422)
    answer.json()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"b":[', "]}]")])
async def test_nesting_that_can_be_read_can_be_echoed(client, opening, closing):
    # Somewhere in here Python's recursion ends, for reading and for writing not at the same depth.
    seen = set()
    for depth in range(700, 1000):
        value = opening * depth + ("1" if opening.endswith(":") else "") + closing * depth
        body = f'{{"query":"a","return_documents":true,"documents":[{{"text":"a","x":{value}}}]}}'
        answer = await client.post("/rerank", content=body, headers=JSON)
        seen.add(answer.status_code)
    assert seen <= {200, 400, 413, 422}


@pytest.mark.parametrize("path", LISTS)
async def test_a_long_list_of_wrong_items_is_refused_at_once(client, path):
    name, rest = LISTS[path]
    body = f'{{{rest},"{name}":[{"0," * 50_000}0]}}'
    tracemalloc.start()
    try:
        answer = await client.post(path, content=body, headers=JSON)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code in (413, 422)
    # An error for each of them takes 1 kB, and 10 us in which nobody else is answered.
    assert peak < 10_000_000
    assert len(answer.content) < 100_000


@pytest.mark.parametrize("length", [None, 1000])
async def test_a_client_that_leaves_while_its_body_comes_is_no_failure(app, client, caplog, length):
    parts = iter(
        [
            {"type": "http.request", "body": b'{"query":', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    sent = []

    async def receive():
        return next(parts)

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/rerank",
        "raw_path": b"/rerank",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    with contextlib.suppress(StopIteration):
        await app(scope, receive, send)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    metrics = (await client.get("/metrics")).text
    assert 'status="500"' not in metrics


async def test_the_name_of_infinity_for_no_model_is_the_default(client):
    body = {"query": "a", "documents": ["a"], "model": "default/not-specified"}
    answer = await client.post("/rerank", json=body)
    assert (answer.status_code, answer.json()["model"]) == (200, "length")


async def test_half_a_surrogate_pair_comes_back_as_it_came(client):
    body = rb'{"query":"\ud83d","documents":["a\udc00","b"],"return_documents":true}'
    answer = await client.post("/v1/rerank", content=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["results"][0]["document"] == {"text": "a\udc00"}


@pytest.mark.parametrize("path", [*LISTS, "/explain"])
@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"query":' * 100_000, b"[" * 400 + b"]" * 400])
async def test_deep_nesting_is_refused(client, path, body):
    answer = await client.post(path, content=body, headers=JSON)
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xff", b"\xc0\xaf", b"\xe2\x82"])
async def test_what_is_not_utf8_is_refused(client, raw):
    body = b'{"query":"a","documents":["' + raw + b'"]}'
    answer = await client.post("/rerank", content=body, headers=JSON)
    assert answer.status_code == 400
    assert "UTF-8" in answer.json()["message"]
