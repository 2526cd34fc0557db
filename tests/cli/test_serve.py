from __future__ import annotations

import logging
import socket
import warnings

import pytest

pytest.importorskip("fastapi")
from rag_rerankers import ModelOptions
from rag_rerankers.server import serving

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture(autouse=True)
def as_it_was():
    """Puts the process's logging and warnings back."""
    names = ("", "rag_rerankers", "rag_rerankers.server")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    handlers = logging.getLogger().handlers[:]
    with warnings.catch_warnings():
        yield
        logging.captureWarnings(False)
    logging.getLogger().handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def served(monkeypatch):
    """What the command would serve."""
    calls = []

    def serve(settings, **options):
        options["tell"]("http://127.0.0.1:1234")
        calls.append((settings, options))

    monkeypatch.setattr(serving, "serve", serve)
    return calls


def test_the_embedded_model_is_served_on_this_machine(call, served):
    done = call("serve")
    assert done.exit_code == 0
    assert "serving minilm-maxsim on http://127.0.0.1:1234 (ctrl-c stops)" in done.stderr
    [(settings, options)] = served
    assert settings.models == ("minilm-maxsim",)
    assert settings.options == ModelOptions()
    assert settings.api_keys == ()
    assert settings.playground
    assert {name: options[name] for name in ("host", "port", "insecure")} == {
        "host": "127.0.0.1",
        "port": 8080,
        "insecure": False,
    }


def test_every_option_reaches_the_settings(call, served, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# mine\nthe first key\nthe second key\n")
    done = call(
        *("serve", "--model", "one=colbertv2", "--model", "a>b", "--host", "0.0.0.0"),
        *("--port", 0, "--api-key-file", keys, "--insecure", "--timeout", 1.5),
        *("--body-timeout", 2.5, "--max-body-mb", 3, "--max-documents", 4, "--max-tokens", 5),
        *("--max-queue", 6, "--max-queue-tokens", 7, "--keep", 8, "--device", "cpu"),
        *("--dtype", "float32", "--max-length", 9, "--long-documents", "max_passage"),
        *("--batch-tokens", 10, "--store", tmp_path / "store", "--no-playground"),
    )
    assert done.exit_code == 0, done.stderr
    assert "the first key" not in done.stderr
    [(settings, options)] = served
    assert settings.models == ("one=colbertv2", "a>b")
    assert settings.api_keys == ("the first key", "the second key")
    assert (settings.timeout, settings.body_timeout) == (1.5, 2.5)
    assert (settings.max_body_bytes, settings.max_documents) == (3 * 2**20, 4)
    assert (settings.max_tokens, settings.max_queue, settings.max_queue_tokens) == (5, 6, 7)
    assert (settings.keep, settings.playground) == (8, False)
    assert settings.options == ModelOptions(
        device="cpu",
        dtype="float32",
        max_length=9,
        long_documents="max_passage",
        batch_tokens=10,
        store=str(tmp_path / "store"),
    )
    assert (options["host"], options["port"], options["insecure"]) == ("0.0.0.0", 0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "ValueError: --host 0.0.0.0 can be reached from other machines"),
        (("--model", "a", "--model", "a"), "ValueError: two models are named 'a'"),
        (("--model", "=a"), "ValueError: '=a' must be a model or NAME=MODEL"),
        (("--timeout", "0"), "ValueError: timeout must be more than 0 seconds, not 0.0"),
        (("--max-queue", "0"), "ValueError: max_queue must be at least 1, not 0"),
        (("--dtype", "float12"), "ValueError: dtype must be one of"),
        (("--api-key-file", "no-such-file"), "FileNotFoundError: "),
    ],
)
def test_mistakes_are_one_line_on_stderr(call, arguments, message):
    done = call("serve", *arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(call):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = call("serve", "--port", taken.getsockname()[1])
    assert done.exit_code == 1
    assert "OSError: cannot listen on 127.0.0.1 port" in done.stderr


def test_a_model_that_cannot_be_loaded(call, tmp_path):
    empty = tmp_path / "panda"
    empty.mkdir()
    done = call("serve", "--model", empty, "--port", 0, "--no-playground")
    assert done.exit_code == 1
    assert "ModelLoadError: " in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_that_are_too_short_are_not_shown(call, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("hunter2")
    done = call("serve", "--api-key-file", keys)
    assert done.exit_code == 1
    assert "API key 1 has 7 characters" in done.stderr
    assert "hunter2" not in done.stderr
