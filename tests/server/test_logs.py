from __future__ import annotations

import io
import json
import logging
import sys
import warnings

import pytest

pytest.importorskip("fastapi")
from tests.server.apps import Exchange, Overlap, lines, post, serving

from rag_rerankers import RerankError
from rag_rerankers.server import ServerSettings
from rag_rerankers.server.logs import JsonFormatter, log_as_json

CANARY = "canary-in-the-mine"
KEY = "key-that-nobody-may-see"


def formatted(**changes) -> dict:
    record = logging.makeLogRecord(
        {"name": "a.b", "levelname": "INFO", "msg": "it is %s", "args": ("so",), **changes}
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return json.loads(line)


def test_a_record_is_an_object_on_a_line():
    assert formatted(created=1.5, msecs=500.0, model="x", texts=3) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "logger": "a.b",
        "event": "it is so",
        "model": "x",
        "texts": 3,
    }


def test_what_json_cannot_hold_is_text():
    line = formatted(value={1}, half="\ud800", lines="a\nb")
    assert (line["value"], line["half"], line["lines"]) == ("{1}", "\ud800", "a\nb")


def test_an_exception_shows_its_place_and_not_its_message():
    try:
        raise ZeroDivisionError(CANARY)
    except ZeroDivisionError:
        line = formatted(exc_info=sys.exc_info())
    assert line["exception"] == "ZeroDivisionError"
    assert len(line["trace"]) == 1
    assert "test_logs.py" in line["trace"][0]
    assert CANARY not in json.dumps(line)


@pytest.fixture
def as_it_was():
    """Puts the process's logging back."""
    names = ("", "rag_rerankers", "rag_rerankers.server")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    handlers = logging.getLogger().handlers[:]
    yield
    logging.captureWarnings(False)
    logging.getLogger().handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("verbose", [False, True])
def test_the_whole_process_logs_to_stderr(capsys, as_it_was, verbose):
    log_as_json(verbose=verbose)
    logging.getLogger("rag_rerankers.server").info("one")
    logging.getLogger("rag_rerankers.engine").info("two")
    logging.getLogger("others").info("three")
    logging.getLogger("others").warning("four")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # What catch_warnings put back is not what the log listens to.
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("five", stacklevel=1)
    out, err = capsys.readouterr()
    assert out == ""
    events = [line["event"] for line in lines(err)]
    assert len(events) == len(err.splitlines())
    assert "five" in events.pop()
    assert events == (["one", "two", "four"] if verbose else ["one", "four"])


@pytest.fixture
def log():
    """All that is logged in this process, as the server writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    # Not the client's own lines, which hold the URL.
    handler.addFilter(lambda record: not record.name.startswith(("httpx", "httpcore")))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


async def test_a_request_is_a_line(log):
    async with serving() as client:
        log.truncate(0)
        log.seek(0)
        body = {"query": "panda", "texts": ["a panda", "1 2 3 4 5 6 7 8 9"]}
        await post(client, "/rank", body, x_request_id="mine")
        await client.get("/nothing")
        await client.get("/health")
        await client.get("/metrics")
        client.app.state.service.gate.close()
        assert (await client.get("/health/ready")).status_code == 503
    served, missing = [line for line in lines(log.getvalue()) if line["event"] == "request"]
    assert 0 < served.pop("seconds") < 20
    assert served.pop("time").endswith("Z")
    assert served == {
        "level": "info",
        "logger": "rag_rerankers.server",
        "event": "request",
        "request_id": "mine",
        "method": "POST",
        "route": "/rank",
        "status": 200,
        "model": "overlap",
        "texts": 2,
        "tokens": 10,
        "truncated": 1,
    }
    assert (missing["route"], missing["status"]) == ("other", 404)


class Telltale(Overlap):
    """Fails with all that it was given, in every way."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def score(self, query, texts):
        told = f"{query} {texts}"
        try:
            raise ValueError(told)
        except ValueError as error:
            raise self.kind(told) from error


class Babbling(Overlap):
    def score(self, query, texts):
        return [query, *texts]


@pytest.mark.parametrize(
    ("scorer", "status"),
    [
        (Overlap(), 200),
        (Telltale(ValueError), 500),
        (Telltale(RuntimeError), 500),
        (Telltale(RerankError), 500),
        (Telltale(KeyError), 500),
        (Telltale(MemoryError), 413),
        (Babbling(), 500),
    ],
    ids=lambda given: str(getattr(given, "kind", type(given)).__name__),
)
async def test_no_text_no_query_and_no_key_is_ever_logged(log, scorer, status):
    settings = ServerSettings(
        models=("overlap", "other"), api_keys=(KEY,), max_documents=3, playground=False
    )
    known = {"authorization": f"Bearer {KEY}"}
    text = CANARY
    bodies = {
        "/rank": [
            {"query": text, "texts": [text]},
            {"query": text, "texts": [text] * 4},
            {"query": [text], "texts": text},
            {"query": text, "texts": [text], "model": text},
            {"query": text, "texts": [text], "threshold": text},
            {"query": text, "texts": [text], text: text},
        ],
        "/v1/rerank": [
            {"query": text, "documents": [text, {"text": text}], "return_documents": True},
            {"query": text, "documents": [{text: text}]},
            {"query": text, "documents": [{text: [text]}], "rank_fields": [text]},
            {"query": text, "texts": [text], "return_text": True},
            {"query": text, "texts": [text, 3]},
            {"query": text, "texts": [text], "documents": [text]},
        ],
        "/score": [{"text_1": text, "text_2": [text]}, {"text_1": [text], "text_2": text, "x": 1}],
        "/explain": [{"query": text, "text": text}],
        f"/{text}": [{}],
        f"/rank?key={text}": [{"query": text, "texts": [text]}],
    }
    seen = set()
    async with serving(settings, scorer) as client:
        for path, ones in bodies.items():
            for body in ones:
                seen.add((await post(client, path, body, **known)).status_code)
                seen.add((await post(client, path, body)).status_code)
                wrong = {"authorization": f"Bearer {KEY}{CANARY}"}
                seen.add((await post(client, path, body, **wrong)).status_code)
        for raw in (f'{{"query": "{text}', f'"{text}"', f'{{"{text}": NaN}}'):
            seen.add((await post(client, "/rank", raw.encode(), **known)).status_code)
        odd = {**known, "x_request_id": f"{KEY}\t{CANARY}", "x_request_timeout": CANARY}
        seen.add((await post(client, "/rank", bodies["/rank"][0], **odd)).status_code)
        types = {**known, "content-type": CANARY}
        seen.add((await client.post("/rank", content=text, headers=types)).status_code)
        for last in ("say", "hang_up"):
            headers = [("content-type", "application/json"), ("authorization", f"Bearer {KEY}")]
            exchange = Exchange("/rank", headers=headers)
            exchange.say(f'{{"query": "{text}"'.encode(), more=True)
            exchange.hang_up() if last == "hang_up" else exchange.say(b"]")
            await exchange.run(client.app)
        metrics = (await client.get("/metrics", headers=known)).text
    assert {status, 400, 401, 404, 413, 415, 422} <= seen
    written = log.getvalue()
    assert len(lines(written)) == len(written.splitlines()) > 60
    for secret in (CANARY, KEY):
        assert secret not in written
        assert secret not in metrics
