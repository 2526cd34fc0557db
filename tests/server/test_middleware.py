from __future__ import annotations

import asyncio
import json
import re

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import Exchange, Held, post, serving

from rag_rerankers.server import ServerSettings
from rag_rerankers.server.keys import Keys
from rag_rerankers.server.metrics import Metrics
from rag_rerankers.server.middleware import Surroundings

FIRST, SECOND = "the first of two", "the second of two"
BODY = {"query": "panda", "texts": ["a panda"]}
LOCKED = ServerSettings(models=("overlap",), api_keys=(FIRST, SECOND), playground=False)


@pytest.fixture
async def locked():
    async with serving(LOCKED) as client:
        yield client


@pytest.mark.parametrize(
    "header", [f"Bearer {FIRST}", f"Bearer {SECOND}", f"bEARER {SECOND}", FIRST]
)
async def test_every_key_opens(locked, header):
    assert (await post(locked, "/rank", BODY, authorization=header)).status_code == 200
    assert (await locked.get("/models", headers={"authorization": header})).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"authorization": ""}, {"authorization": "Bearer wrong"}])
@pytest.mark.parametrize("path", ["/rank", "/rerank", "/nothing", "/rank/"])
async def test_nothing_opens_without_one(locked, path, headers):
    answer = await post(locked, path, BODY, **headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Connection"] == "close"
    message = "a valid API key is needed: Authorization: Bearer KEY"
    assert answer.json() == {
        "message": message,
        "detail": message,
        "error": {"message": message, "type": "authentication_error", "code": 401},
    }


@pytest.mark.parametrize(
    "path", ["/models", "/v1/models", "/metrics", "/openapi.json", "/health/../metrics"]
)
async def test_what_tells_of_the_server_needs_a_key_too(locked, path):
    assert (await locked.get(path)).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
async def test_its_health_does_not(locked, path):
    assert (await locked.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/playground/page.js", 404),
        ("/playground/a/b", 401),
        ("/playground/%2F../rank", 401),
        ("/playground", 401),
        ("/health/", 401),
        ("/health\n", 401),
        ("//health", 401),
    ],
)
async def test_what_is_open_is_exactly_this(locked, path, status):
    exchange = Exchange(path.replace("%2F", "/"), method="GET")
    exchange.say(b"")
    await exchange.run(locked.app)
    assert exchange.status == status


async def test_the_prefix_that_it_is_mounted_under_changes_nothing(locked):
    async def mounted(scope, receive, send):
        await locked.app(
            {**scope, "root_path": "/api", "path": f"/api{scope['path']}"}, receive, send
        )

    for path, status in (("/health", 200), ("/metrics", 401), ("/nothing", 401)):
        exchange = Exchange(path, method="GET")
        exchange.say(b"")
        await exchange.run(mounted)
        assert exchange.status == status


async def test_a_request_without_a_key_is_refused_before_its_body_is_read(locked):
    exchange = Exchange("/rank")
    running = asyncio.create_task(exchange.run(locked.app))
    while len(exchange.sent) < 2:
        await asyncio.sleep(0)
    assert exchange.status == 401
    assert exchange.json["error"]["code"] == 401
    # What is still coming is taken for a moment, so that the answer is not lost.
    exchange.say(b"x" * 10_000, more=True)
    exchange.say(b"", more=False)
    await running
    assert exchange.parts.empty()
    assert exchange.sent[-1].get("more_body", False) is False


@pytest.mark.parametrize("given", ["a", "A-b_c.9~", "x" * 64])
async def test_a_request_id_is_taken(overlap, given):
    answer = await post(overlap, "/rank", BODY, x_request_id=given)
    assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", 'a"b', "a/b", "<script>", "a,b"])
async def test_one_that_could_do_harm_is_not(overlap, given):
    answers = [await post(overlap, "/rank", BODY, x_request_id=given) for _ in range(2)]
    ids = {answer.headers["X-Request-ID"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", made) for made in ids)


async def test_every_answer_has_one(overlap, locked):
    for answer in (
        await overlap.get("/nothing"),
        await overlap.get("/health"),
        await overlap.get("/rank"),
        await post(overlap, "/rank", b"{"),
        await post(locked, "/rank", BODY),
    ):
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


LOOPBACK = [
    "localhost",
    "localhost:8080",
    "LOCALHOST",
    "app.localhost",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.9.9.9",
    "[::1]",
    "[::1]:8080",
]
FOREIGN = [
    "",
    "example.com",
    "example.com:80",
    "127.0.0.1.example.com",
    "localhost.example.com",
    "192.168.0.1",
    "0.0.0.0",
    "[::2]:80",
    "xlocalhost",
    "localhost@example.com",
]


@pytest.mark.parametrize("host", LOOPBACK)
async def test_without_keys_a_server_answers_on_its_own_machine(host):
    async with serving(loopback_only=True) as client:
        assert (await client.get("/health", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
async def test_and_not_as_anybody_else(host):
    async with serving(loopback_only=True) as client:
        for answer in (
            await client.get("/health", headers={"host": host}),
            await post(client, "/rank", BODY, host=host),
        ):
            assert answer.status_code == 421
            assert answer.headers["Connection"] == "close"
            assert f"not as {host!r}" in answer.json()["message"]
            assert "--api-key-file or --insecure" in answer.json()["message"]


async def test_others_are_answered_under_every_name():
    async with serving() as client:
        assert (await client.get("/health", headers={"host": "example.com"})).status_code == 200


async def test_what_is_no_request_is_handed_on():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    around = Surroundings(app, keys=Keys([FIRST]), metrics=Metrics())
    await around({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]


async def test_a_failure_behind_the_first_bytes_of_an_answer_cuts_it(caplog):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    around = Surroundings(app, keys=Keys([]), metrics=Metrics())
    exchange = Exchange("/x")
    await exchange.run(around)
    assert len(exchange.sent) == 1
    assert [record.message for record in caplog.records] == ["request failed"]


async def test_a_client_that_leaves_while_its_body_comes(caplog):
    async with serving(scorer=Held()) as client:
        exchange = Exchange("/rank")
        exchange.say(json.dumps(BODY).encode()[:9], more=True)
        exchange.hang_up()
        await exchange.run(client.app)
        assert exchange.sent == []
        assert "rag_rerankers_disconnected_total 1.0" in (await client.get("/metrics")).text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
