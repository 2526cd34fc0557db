from __future__ import annotations

import asyncio
import re

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import Held, ask, post, serving

from rag_rerankers.server import ServerSettings
from rag_rerankers.server.metrics import Metrics


async def counted(client) -> dict[str, float]:
    """The metrics of the server, the process's own left out."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    values = {}
    for line in answer.text.splitlines():
        if line.startswith("rag_rerankers_"):
            name, _, value = line.rpartition(" ")
            values[name.removeprefix("rag_rerankers_")] = float(value)
    return values


def labels(values: dict[str, float], name: str) -> set[str]:
    return {value for line in values for value in re.findall(f'{name}="([^"]*)"', line)}


async def test_requests_are_counted(fresh):
    body = {"query": "panda", "texts": ["a panda", "1 2 3 4 5 6 7 8 9"]}
    await ask(fresh, "/rank", body)
    await ask(fresh, "/rerank", {"query": "a", "texts": []})
    await ask(fresh, "/score", {"text_1": ["a", "b"], "text_2": ["a", "b"]})
    await post(fresh, "/rank", {"query": 1})
    values = await counted(fresh)
    assert values['requests_total{route="/rank",status="200"}'] == 1
    assert values['requests_total{route="/rank",status="422"}'] == 1
    assert values['requests_total{route="/rerank",status="200"}'] == 1
    assert values['request_seconds_count{route="/rank"}'] == 2
    assert values['request_seconds_bucket{le="+Inf",route="/rank"}'] == 2
    assert values['rank_seconds_count{model="overlap"}'] == 3
    # 2 texts, none, and 1 for each of two queries.
    assert values['texts_count{model="overlap"}'] == 4
    assert values['texts_sum{model="overlap"}'] == 4
    assert values['texts_bucket{le="1.0",model="overlap"}'] == 3
    # 2 words and 8 of 9; a word for each pair.
    assert values['tokens_total{model="overlap"}'] == 2 + 8 + 1 + 1
    assert values['truncated_texts_total{model="overlap"}'] == 1
    assert values["ready"] == 1
    assert values["shed_total"] == values["deadline_exceeded_total"] == 0


async def test_what_is_inside_shed_and_late_is_counted():
    held = Held()
    settings = ServerSettings(models=("overlap",), max_queue=1, playground=False)
    async with serving(settings, held) as client:
        body = {"query": "panda", "texts": ["a panda"]}
        inside = asyncio.create_task(ask(client, "/rank", body))
        await held.at_work()
        assert (await post(client, "/rank", body)).status_code == 503
        values = await counted(client)
        assert values["requests_in_progress"] == 1
        assert values["tokens_in_progress"] == 4
        assert values["shed_total"] == 1
        held.go.set()
        await inside
        held.go.clear()
        assert (await post(client, "/rank", body, x_request_timeout="0.01")).status_code == 504
        values = await counted(client)
        assert values["requests_in_progress"] == values["tokens_in_progress"] == 0
        assert values["deadline_exceeded_total"] == 1
        assert values['requests_total{route="/rank",status="503"}'] == 1
        client.app.state.service.gate.close()
        assert (await counted(client))["ready"] == 0


async def test_labels_do_not_grow_with_what_clients_make_up(fresh):
    for number in range(20):
        await fresh.get(f"/nothing/{number}")
        await fresh.request(f"VERB{number}", f"/rank{number}?a={number}")
        await post(fresh, "/rank", {"query": "a", "texts": [], "model": f"model-{number}"})
    values = await counted(fresh)
    assert labels(values, "route") == {"other", "/rank"}
    assert labels(values, "model") == {"overlap"}
    assert values['requests_total{route="other",status="404"}'] == 40


def test_two_servers_of_a_process_count_apart():
    one, other = Metrics(), Metrics()
    one.shed.inc()
    assert b"rag_rerankers_shed_total 1.0" in one.text()
    assert b"rag_rerankers_shed_total 0.0" in other.text()
    assert b"process_cpu_seconds_total" in one.text() or b"python_info" in one.text()
