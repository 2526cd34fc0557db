from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("fastapi")
from rag_rerankers.server.lingering import Lingering

END = {"type": "http.response.body", "body": b"", "more_body": False}


def part(body: bytes, *, more: bool) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


def start(*headers) -> dict:
    return {"type": "http.response.start", "status": 413, "headers": list(headers)}


CLOSE = (b"connection", b"close")
ANSWER = {"type": "http.response.body", "body": b"too large"}


class Connection:
    """A client that sends these parts, and then nothing."""

    def __init__(self, *parts: dict) -> None:
        self.left = list(parts)
        self.sent: list[dict] = []
        self.left_when_sent: list[int] = []

    async def receive(self):
        if not self.left:
            await asyncio.Event().wait()
        return self.left.pop(0)

    async def send(self, message):
        self.sent.append(message)
        self.left_when_sent.append(len(self.left))


async def test_the_rest_of_the_body_is_taken_before_the_connection_ends():
    client = Connection(*[part(b"x", more=True)] * 3, part(b"x", more=False))
    both = Lingering(client.receive, client.send)
    await both.receive()
    await both.send(start(CLOSE))
    await both.send(ANSWER)
    assert client.sent == [start(CLOSE), {**ANSWER, "more_body": True}, END]
    # The client has all of the answer first.
    assert client.left_when_sent == [3, 3, 0]


@pytest.mark.parametrize(
    ("parts", "headers"),
    [
        ([part(b"x", more=False)], [CLOSE]),
        ([{"type": "http.disconnect"}], [CLOSE]),
        ([part(b"x", more=True), part(b"y", more=False)], []),
        ([part(b"x", more=True), part(b"y", more=False)], [(b"connection", b"keep-alive")]),
    ],
)
async def test_other_answers_go_out_as_they_are(parts, headers):
    client = Connection(*parts)
    both = Lingering(client.receive, client.send)
    await both.receive()
    await both.send(start(*headers))
    await both.send(ANSWER)
    assert client.sent == [start(*headers), ANSWER]
    assert len(client.left) == len(parts) - 1


async def test_an_answer_in_parts_waits_with_its_last():
    client = Connection(part(b"x", more=False))
    both = Lingering(client.receive, client.send)
    await both.send(start(CLOSE))
    await both.send({**ANSWER, "more_body": True})
    assert client.left_when_sent == [1, 1]
    await both.send(ANSWER)
    assert client.left_when_sent == [1, 1, 1, 0]
    assert client.sent[-1] == END


async def test_who_never_ends_is_left_after_a_while():
    client = Connection(part(b"x", more=True))
    both = Lingering(client.receive, client.send, seconds=0.02)
    await both.send(start(CLOSE))
    await both.send(ANSWER)
    assert client.sent[-1] == END


async def test_so_is_who_hangs_up():
    client = Connection(part(b"x", more=True), {"type": "http.disconnect"})
    both = Lingering(client.receive, client.send)
    await both.send(start(CLOSE))
    await both.send(ANSWER)
    assert client.sent[-1] == END
