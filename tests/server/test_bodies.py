from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("fastapi")
from starlette.requests import Request

from rag_rerankers.server.bodies import Room, read_json
from rag_rerankers.server.problems import Problem
from rag_rerankers.server.work import ClientGoneError

JSON = {"content-type": "application/json"}


def request(*parts, headers=JSON) -> tuple[Request, list]:
    """A request whose body comes in parts, and those that have not been taken from it."""
    left = [
        part
        if isinstance(part, dict)
        else {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, 1)
    ]

    async def receive():
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    scope = {
        "type": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    return Request(scope, receive), left


async def read(*parts, headers=JSON, max_bytes=1000, seconds=20.0):
    return await read_json(
        request(*parts, headers=headers)[0], Room(10**9), max_bytes=max_bytes, seconds=seconds
    )


async def refused(*parts, **options) -> Problem:
    with pytest.raises(Problem) as caught:
        await read(*parts, **options)
    return caught.value


@pytest.mark.parametrize(
    ("parts", "value"),
    [
        ((b"{}",), {}),
        ((b'{"a": [1, 2.5, null, true]', b', "b": {}}', b""), {"a": [1, 2.5, None, True], "b": {}}),
        (('{"a": "大"}'.encode()[:8], '{"a": "大"}'.encode()[8:]), {"a": "大"}),
        ((b'\xef\xbb\xbf{"a": 1}',), {"a": 1}),
        ((rb'{"a": "\ud800"}',), {"a": "\ud800"}),
        ((b'{"a": 1, "a": 2}',), {"a": 2}),
    ],
)
async def test_a_body_may_come_in_parts(parts, value):
    assert await read(*parts) == value


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"],
)
async def test_json_has_several_types(content_type):
    assert await read(b"{}", headers={"content-type": content_type}) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "text/plain, application/json"},
        {"content-type": "text/x+json"},
    ],
)
async def test_what_a_foreign_page_may_send_is_refused(headers):
    problem = await refused(b"{}", headers=headers)
    assert (problem.status, problem.close) == (415, True)
    assert f"not {headers.get('content-type')!r}" in problem.message


async def test_a_compressed_body_is_refused():
    problem = await refused(b"{}", headers={**JSON, "content-encoding": "gzip"})
    assert (problem.status, problem.close) == (415, True)
    assert "'gzip'" in problem.message
    assert await read(b"{}", headers={**JSON, "content-encoding": "Identity"}) == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not JSON: Expecting value"),
        (b"{", "is not JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1e400}', "1e400 is beyond what a float can hold"),
        (b'{"a": -1e400}', "-1e400 is beyond"),
        (b'{"a": 1' + b"0" * 500 + b".0}", "is beyond what a float can hold"),
        (b'{"a": "\xff"}', "is not UTF-8: invalid start byte at byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "is not UTF-8: invalid continuation byte at byte 7"),
        ('{"a": "b"}'.encode("utf-16"), "is not UTF-8: invalid start byte at byte 0"),
        ('{"a": "b"}'.encode("utf-16-le"), "is not JSON"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "is not JSON"),
        (b"{'a': 1}", "is not JSON"),
        (b"{} {}", "is not JSON: Extra data"),
    ],
)
async def test_what_is_not_json_by_the_letter_is_a_400(body, message):
    problem = await refused(body, max_bytes=10_000)
    assert (problem.status, problem.close) == (400, False)
    assert message in problem.message
    assert len(problem.message) < 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"[]", "an array"), (b'"a"', "a string"), (b"3", "3"), (b"null", "null"), (b"true", "true")],
)
async def test_json_that_is_no_object_is_a_422(body, kind):
    problem = await refused(body)
    assert (problem.status, problem.message) == (422, f"the body must be a JSON object, not {kind}")


def nested(levels: int, opening: str, closing: str) -> bytes:
    inside = "1" if opening.endswith(":") else ""
    return (opening * levels + inside + closing * levels).encode()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
async def test_nesting_has_a_limit_far_from_that_of_python(opening, closing):
    fits = nested(62, opening, closing)
    assert await read(b'{"x": %b}' % fits)
    for levels in (64, 500, 5000):
        problem = await refused(b'{"x": %b}' % nested(levels, opening, closing), max_bytes=10**6)
        assert (problem.status, problem.close) == (400, False)
        assert problem.message == "the body is nested too deeply: 64 levels are read"


@pytest.mark.parametrize("length", ["1001", "9" * 18, "9" * 400])
async def test_a_length_over_the_limit_is_refused_before_anything_is_read(length):
    one, left = request(b"{}", headers={**JSON, "content-length": length})
    with pytest.raises(Problem) as caught:
        await read_json(one, Room(10**9), max_bytes=1000, seconds=20)
    assert (caught.value.status, caught.value.close) == (413, True)
    assert "more than 1000 bytes" in caught.value.message
    assert len(left) == 1


async def test_a_body_without_a_length_is_refused_as_soon_as_it_is_too_large():
    one, left = request(*[b"x" * 100] * 20)
    with pytest.raises(Problem) as caught:
        await read_json(one, Room(10**9), max_bytes=1000, seconds=20)
    assert (caught.value.status, caught.value.close) == (413, True)
    assert len(left) == 9


async def test_the_limit_itself_is_allowed():
    body = b'{"a": "' + b"x" * 991 + b'"}'
    assert len(body) == 1000
    assert await read(body, headers={**JSON, "content-length": "1000"})


async def test_a_body_that_comes_too_slowly_is_a_408():
    first = {"type": "http.request", "body": b'{"que', "more_body": True}
    problem = await refused(first, seconds=0.05)
    assert (problem.status, problem.close) == (408, True)
    assert problem.message == "the body was not complete after 0.05 s (5 bytes)"


async def test_a_client_that_leaves_has_no_problem():
    first = {"type": "http.request", "body": b'{"que', "more_body": True}
    with pytest.raises(ClientGoneError):
        await read(first, {"type": "http.disconnect"})


async def test_all_bodies_together_have_a_limit():
    room = Room(1000)
    slow, _ = request(b'{"a": "' + b"x" * 600)  # the rest never comes
    first = asyncio.create_task(read_json(slow, room, max_bytes=1000, seconds=20))
    while not room.held:
        await asyncio.sleep(0)
    second, _ = request(b'{"a": "' + b"x" * 500 + b'"}')
    with pytest.raises(Problem) as caught:
        await read_json(second, room, max_bytes=1000, seconds=20)
    assert (caught.value.status, caught.value.retry_after, caught.value.close) == (503, 1, True)
    assert caught.value.message == "bodies of 607 bytes are being received"
    first.cancel()
    await asyncio.wait((first,))
    assert room.held == 0


def test_room_holds_as_much_as_it_says():
    room = Room(10)
    room.take(4)
    room.take(6)
    with pytest.raises(Problem):
        room.take(1)
    assert room.held == 10
