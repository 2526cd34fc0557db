"""On a local Ray: what Ray does with an app. The app itself is tested without Ray."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.local_ray import local_ray, needs_ray
from tests.server.stand_in_app import Settings, create_app

from rag_rerankers.server.ray_serve import Scaling, deploy


def test_scaling_is_what_ray_serve_is_told():
    assert Scaling(min_replicas=3, cpus=2, max_waiting=7).as_kwargs() == {
        "num_replicas": 3,
        "ray_actor_options": {"num_cpus": 2, "num_gpus": 0},
        "max_ongoing_requests": 64,
        "max_queued_requests": 7,
        "graceful_shutdown_timeout_s": 30,
        "health_check_period_s": 10,
        "health_check_timeout_s": 30,
    }
    told = Scaling(min_replicas=1, max_replicas=4, target_requests=5).as_kwargs()
    assert "num_replicas" not in told
    assert told["autoscaling_config"] == {
        "min_replicas": 1,
        "max_replicas": 4,
        "target_ongoing_requests": 5,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_replicas": 0},
        {"min_replicas": 3, "max_replicas": 2},
        {"cpus": -1},
        {"gpus": float("nan")},
        {"max_requests": 0},
        {"target_requests": 0},
        {"start_seconds": 0},
        {"max_waiting": -1},
    ],
)
def test_scaling_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="|".join([*wrong, "replicas"])):
        Scaling(**wrong)


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    return number


@pytest.fixture(scope="module")
def served(tmp_path_factory, port) -> Iterator[str]:
    """Two replicas of the stand-in."""
    needs_ray()
    from ray import serve

    folder = tmp_path_factory.mktemp("ready")
    with local_ray():
        deploy(
            Settings("tiny", str(folder)),
            scaling=Scaling(min_replicas=2, cpus=1),
            port=port,
            detach=True,
            create_app=create_app,
        )
        yield str(folder)
        serve.shutdown()


def ask(port: int, *, key: str = "Bearer k") -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/rank",
        json.dumps({"query": "q", "texts": ["a"]}).encode(),
        {"Content-Type": "application/json", "Authorization": key},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        found: dict = json.load(response)
    return found


@pytest.mark.enable_socket
def test_requests_go_to_all_replicas_as_they_are(served, port):
    told = [ask(port) for _ in range(40)]
    assert {one["pid"] for one in told} == {int(path.name) for path in Path(served).iterdir()}
    assert len({one["pid"] for one in told}) == 2
    assert told[0]["asked"] == {"query": "q", "texts": ["a"]}
    assert (told[0]["key"], told[0]["model"]) == ("Bearer k", "tiny")
    assert {one["threads"] for one in told} == {"1"}, "as many as it has cores"


@pytest.mark.enable_socket
def test_a_replica_that_dies_is_replaced_and_the_others_go_on(served, port):
    victim = ask(port)["pid"]
    os.kill(victim, signal.SIGKILL)
    pids, failed = set(), 0
    deadline = time.monotonic() + 60
    # Requests that were under way at the dead one may fail; new ones must not for long.
    while len(pids - {victim}) < 2:
        assert time.monotonic() < deadline, (pids, failed)
        try:
            pids.add(ask(port)["pid"])
        except OSError:
            failed += 1
        time.sleep(0.05)
    assert failed <= 5
    assert victim not in {ask(port)["pid"] for _ in range(20)}


@pytest.mark.enable_socket
def test_an_app_that_cannot_be_made_ends_the_deployment(tmp_path, port, served):
    with pytest.raises(RuntimeError):
        deploy(
            Settings("absent", str(tmp_path)),
            port=port,
            detach=True,
            create_app=create_app,
        )
    assert list(tmp_path.iterdir()) == []
