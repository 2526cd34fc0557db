from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi")
import httpx
from tests.server.apps import Exchange, ask, client_of, post, serving, started

from rag_rerankers.server import ServerSettings, create_app, schemas

BODY = {"query": "panda", "documents": ["a panda"]}
PATHS = ("/rerank", "/v1/rerank", "/v2/rerank", "/score", "/v1/score", "/rank", "/explain")


def small(**given) -> ServerSettings:
    return ServerSettings(models=("overlap",), playground=False, **given)


async def test_a_body_that_is_said_to_be_too_large_is_not_read():
    async with serving(small(max_body_bytes=100)) as client:
        for path in PATHS:
            answer = await post(client, path, {**BODY, "query": "x" * 100})
            assert answer.status_code == 413
            assert answer.headers["Connection"] == "close"
            assert answer.json()["detail"] == (
                "the body has more than 100 bytes: send fewer or shorter texts"
            )
        assert len((await ask(client, "/rerank", BODY))["results"]) == 1


async def test_a_body_that_turns_out_too_large_is_refused_while_it_comes():
    async with serving(small(max_body_bytes=100)) as client:
        exchange = Exchange("/rerank")
        running = asyncio.create_task(exchange.run(client.app))
        exchange.say(b"{" * 60, more=True)
        exchange.say(b"{" * 60, more=True)
        while len(exchange.sent) < 2:
            await asyncio.sleep(0)
        assert exchange.status == 413
        assert exchange.answer_headers["connection"] == "close"
        exchange.hang_up()
        await running


async def test_a_body_that_comes_too_slowly():
    async with serving(small(body_timeout=0.05)) as client:
        exchange = Exchange("/rerank")
        exchange.say(b'{"texts"', more=True)
        running = asyncio.create_task(exchange.run(client.app))
        while len(exchange.sent) < 2:
            await asyncio.sleep(0.001)
        assert exchange.status == 408
        assert exchange.answer_headers["connection"] == "close"
        assert exchange.json["error"] == {
            "message": "the body was not complete after 0.05 s (8 bytes)",
            "type": "timeout_error",
            "code": 408,
        }
        exchange.hang_up()
        await running


@pytest.mark.parametrize("path", PATHS)
async def test_every_route_says_what_it_cannot_read(overlap, path):
    for content, headers, status in (
        (b"{", {"content-type": "application/json"}, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {}, 415),
        (b"{}", {"content-type": "application/json", "content-encoding": "gzip"}, 415),
        (b"[]", {"content-type": "application/json"}, 422),
        (b"{}", {"content-type": "application/json"}, 422),
    ):
        answer = await overlap.post(path, content=content, headers=headers)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == status
        assert ("connection" in answer.headers) == (status == 415)


async def test_an_object_that_was_read_can_be_written_again(overlap):
    # As deep as bodies may be, and with numbers at the edge of floats.
    inner = "[" * 58 + "1.7976931348623157e308" + "]" * 58
    raw = f'{{"query":"a","return_documents":true,"documents":[{{"text":"\\ud800","x":{inner}}}]}}'
    answer = await post(overlap, "/rerank", raw.encode())
    assert answer.status_code == 200
    assert answer.json()["results"][0]["document"] == json.loads(raw)["documents"][0]


async def test_many_requests_at_once_get_their_own_answers(overlap):
    async def one(number: int) -> None:
        texts = [f"text {number + place}" for place in range(5)]
        answer = await ask(
            overlap,
            "/rank",
            {"query": f"{number + 3}", "texts": texts, "top_n": 1, "return_texts": True},
        )
        assert answer["hits"] == [
            {"index": 3, "score": 1.0, "relevance": 0.25, "text": f"text {number + 3}"}
        ]

    await asyncio.gather(*map(one, range(64)))


async def test_it_can_be_started_again():
    async with serving() as client:
        app = client.app
        await ask(client, "/rerank", BODY)
    async with app.router.lifespan_context(app), client_of(app) as again:
        assert len((await ask(again, "/rerank", BODY))["results"]) == 1


def test_it_is_made_without_settings_and_loads_nothing_yet():
    app = create_app()
    assert [model.name for model in app.state.service.models] == ["minilm-maxsim"]
    assert not app.state.service.ready


BODY_TYPES = (
    schemas.RerankBody,
    schemas.TeiBody,
    schemas.ScoreBody,
    schemas.RankBody,
    schemas.ExplainBody,
)
NAMES = st.sampled_from(
    [name for body in BODY_TYPES for name in body.model_fields] + ["content", "text", "unknown"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=5)
    | st.sampled_from([10**400, -(10**30), 1e308, "default/not-specified", "overlap"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
TEXTS = st.lists(st.text(max_size=5) | VALUES, max_size=4)
BODIES = VALUES | st.dictionaries(NAMES, VALUES | st.text(max_size=5) | TEXTS, max_size=8)


class Running:
    """A server for tests without a loop of their own."""

    def __init__(self) -> None:
        self._client = client_of(
            started(ServerSettings(models=("overlap", "other"), playground=False))
        )
        self._loop = asyncio.new_event_loop()

    def post(self, path: str, body: bytes) -> httpx.Response:
        return self._loop.run_until_complete(post(self._client, path, body))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()


@pytest.fixture(scope="module")
def running():
    running = Running()
    yield running
    running.close()


@given(st.sampled_from(PATHS), BODIES)
def test_no_json_value_is_a_failure_of_the_server(running, path, value):
    answer = running.post(path, json.dumps(value).encode())
    assert answer.status_code in (200, 400, 404, 422), answer.text
    answer.json()


@given(st.sampled_from(PATHS), st.binary(max_size=60) | st.text('{}[]",:1e-null ').map(str.encode))
def test_neither_are_other_bytes(running, path, body):
    answer = running.post(path, body)
    assert answer.status_code in (400, 404, 422), answer.text
    answer.json()
