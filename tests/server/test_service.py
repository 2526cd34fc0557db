from __future__ import annotations

import asyncio
import json
import logging
import math

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import Exchange, Held, Overlap, ask, post, serving
from tests.stand_ins import Given

from rag_rerankers import OutOfMemoryError, RemoteError, RemoteTimeoutError, StoreError
from rag_rerankers.server import ServerSettings

BODY = {"query": "panda", "texts": ["a panda", "a bear"]}


def limits(**given) -> ServerSettings:
    return ServerSettings(models=("overlap",), playground=False, **given)


async def test_documents_have_a_limit():
    async with serving(limits(max_documents=2)) as client:
        await ask(client, "/rank", BODY)
        answer = await post(client, "/rank", {"query": "a", "texts": ["a"] * 3})
        assert answer.status_code == 413
        assert answer.json()["message"] == (
            "3 documents are more than the 2 of one request: send fewer"
        )
        assert answer.json()["error"]["type"] == "request_too_large"
        # For pairs those of all queries count.
        pairs = {"text_1": ["a", "b", "c"], "text_2": ["a", "b", "c"]}
        assert (await post(client, "/score", pairs)).status_code == 413


async def test_tokens_have_a_limit():
    # Of 4 bytes each, and one more for each text and each query: 2 + 3 for each of these.
    async with serving(limits(max_tokens=10), Given(1.0, 2.0)) as client:
        texts = ["a" * 8, "b" * 8]
        await ask(client, "/rank", {"query": "abcd", "texts": texts})
        answer = await post(client, "/rerank", {"query": "abcd", "texts": [*texts, ""]})
        assert answer.status_code == 413
        assert answer.json() == {
            "error": "about 13 tokens are more than the 10 of one request: "
            "send fewer or shorter texts",
            "error_type": "Validation",
            "message": answer.json()["error"],
            "detail": answer.json()["error"],
        }


async def test_what_the_model_cuts_counts_too_as_it_has_been_tokenized():
    async with serving(limits(max_tokens=8)) as client:
        body = {"query": "a", "texts": ["x " * 1000]}
        assert (await post(client, "/rank", body)).status_code == 413


async def test_the_queue_has_a_limit_of_requests():
    held = Held()
    async with serving(limits(max_queue=2), held) as client:
        inside = [asyncio.create_task(ask(client, "/rank", BODY)) for _ in range(2)]
        await held.at_work(2)
        for body, key in ((BODY, "message"), ({"query": "a", "texts": ["a"]}, "error")):
            path = "/rank" if key == "message" else "/rerank"
            answer = await post(client, path, body)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "1"
            assert "connection" not in answer.headers
            assert answer.json()[key] == (
                "2 requests are being worked on, as many as are let in at once"
            )
        assert answer.json()["error_type"] == "Overloaded"
        held.go.set()
        for answer in await asyncio.gather(*inside):
            assert [hit["index"] for hit in answer["hits"]] == [0, 1]
        await ask(client, "/rank", BODY)


async def test_the_queue_has_a_limit_of_tokens():
    held = Held()
    async with serving(limits(max_queue_tokens=20), held) as client:
        large = {"query": "a", "texts": ["x" * 100]}
        # Alone even a larger one is let in.
        inside = asyncio.create_task(ask(client, "/rank", large))
        await held.at_work()
        answer = await post(client, "/rank", {"query": "a", "texts": ["a"]})
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
        assert answer.json()["message"] == (
            "about 27 tokens are being worked on, and about 2 more would exceed the 20 that are "
            "let in at once"
        )
        held.go.set()
        await inside


async def test_a_deadline_cancels_the_work():
    held = Held()
    async with serving(scorer=held) as client:
        answer = await post(client, "/rank", BODY, x_request_timeout="0.05")
        assert answer.status_code == 504
        assert answer.json()["error"] == {
            "message": "the answer was not ready within 0.05 s: send fewer texts",
            "type": "timeout_error",
            "code": 504,
        }
        await held.given_up()
        assert client.app.state.service.gate.requests == 0


async def test_the_servers_own_deadline_is_the_most():
    held = Held()
    async with serving(limits(timeout=0.05), held) as client:
        answer = await post(client, "/rerank", BODY, x_request_timeout="1e400")
        assert answer.status_code == 504
        assert answer.json()["error"] == "the answer was not ready within 0.05 s: send fewer texts"
        assert answer.json()["error_type"] == "Timeout"


@pytest.mark.parametrize("seconds", ["", "0", "-1", "nan", "soon", "1,5", "-inf"])
async def test_a_deadline_is_a_number_above_0(overlap, seconds):
    answer = await post(overlap, "/rank", BODY, x_request_timeout=seconds)
    assert answer.status_code == 422
    assert answer.json()["message"] == (
        f"X-Request-Timeout must be a number of seconds above 0, not {seconds!r}"
    )


async def test_a_client_that_hangs_up_cancels_the_work():
    held = Held()
    async with serving(scorer=held) as client:
        exchange = Exchange("/rank")
        exchange.say(json.dumps(BODY).encode())
        asking = asyncio.create_task(exchange.run(client.app))
        await held.at_work()
        exchange.hang_up()
        await asking
        await held.given_up()
        assert exchange.sent == []
        assert client.app.state.service.gate.requests == 0
        metrics = (await client.get("/metrics")).text
        assert "rag_rerankers_disconnected_total 1.0" in metrics
        assert 'requests_total{route="/rank",status="none"} 1.0' in metrics


async def test_those_inside_finish_when_the_gate_is_closed():
    held = Held()
    async with serving(scorer=held) as client:
        inside = asyncio.create_task(ask(client, "/rank", BODY))
        await held.at_work()
        client.app.state.service.gate.close()
        answer = await post(client, "/rank", BODY)
        assert answer.status_code == 503
        assert answer.json()["message"] == "the server is stopping"
        assert answer.headers["Retry-After"] == "5"
        assert answer.headers["Connection"] == "close"
        held.go.set()
        assert len((await inside)["hits"]) == 2


class Raising(Overlap):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def score(self, query, texts):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (StoreError("canary: a folder"), 500, "StoreError: the log has of-the-client"),
        (RemoteError("canary"), 502, "the server behind this model failed; the log has of-the"),
        (RemoteTimeoutError("canary"), 504, "the server behind this model failed"),
        (OutOfMemoryError("no room"), 413, "the model's memory does not hold one of the texts"),
        (MemoryError(), 413, "send shorter ones"),
        (ValueError("canary"), 500, "the server failed; its log has of-the-client"),
        (TypeError("canary"), 500, "the server failed; its log has of-the-client"),
        (ZeroDivisionError("canary"), 500, "the server failed; its log has of-the-client"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("path", ["/rank", "/rerank"])
async def test_what_goes_wrong_in_a_model_is_not_the_clients_fault(
    caplog, error, status, message, path
):
    caplog.set_level(logging.INFO)
    async with serving(scorer=Raising(error)) as client:
        answer = await post(client, path, BODY, x_request_id="of-the-client")
        assert answer.status_code == status
        said = answer.json()["error"]
        assert message in (said["message"] if path == "/rank" else said)
        assert "canary" not in answer.text
        assert (await post(client, path, BODY)).status_code == status
        assert client.app.state.service.gate.requests == 0
    if status in (500, 502):
        failed = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(failed) == 2
        assert failed[0].request_id == "of-the-client"
        assert failed[0].exc_info[0] is type(error)


async def test_scores_that_are_no_scores_are_a_500():
    async with serving(scorer=Given(math.nan, 1.0)) as client:
        answer = await post(client, "/rank", BODY)
        assert answer.status_code == 500
        assert answer.json()["message"].startswith("ScoreError: 1 of 2 scores are NaN")
    async with serving(scorer=Given(math.inf, 1.0)) as client:
        answer = await post(client, "/rank", BODY)
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == 500
