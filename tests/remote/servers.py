"""Servers that answer as the real ones do, without a socket.

Shapes, paths and statuses are those of the published sources: text-embeddings-inference 1.9
(router/src/http), infinity 0.0.77 (fastapi_schemas/pymodels.py), vLLM's rerank entrypoint, Cohere's
API v2, Jina's API, llama.cpp (tools/server, format_response_rerank).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import httpx

__all__ = [
    "SERVERS",
    "Cohere",
    "Infinity",
    "Jina",
    "LlamaCpp",
    "Native",
    "Server",
    "Tei",
    "Vllm",
    "logit",
]


def logit(query: str, text: str) -> float:
    """A number of any size and sign, easy to work out: words in common, less a trifle by length."""
    words = set(query.lower().split())
    return 3.0 * len(words & set(text.lower().split())) - 4.0 - len(text) / 1000


def probability(value: float) -> float:
    return 1 / (1 + math.exp(-value))


class Server:
    """Answers requests, and keeps them.

    Attributes:
        requests: Method and path of each.
        bodies: What was posted.
        headers: Those of the last request.
    """

    limit = 1000

    def __init__(self, score: Callable[[str, str], float] = logit) -> None:
        self.score = score
        self.requests: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: Any = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        self.headers = request.headers
        body = json.loads(request.content) if request.method == "POST" else None
        if body is not None:
            self.bodies.append(body)
        return self.answer(request.method, request.url.path, body)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    def answer(self, method: str, path: str, body: Any) -> httpx.Response:
        raise NotImplementedError

    def ranked(self, query: str, texts: list[str]) -> list[tuple[int, float]]:
        """Best first, as all of them do."""
        scores = [(i, self.score(query, text)) for i, text in enumerate(texts)]
        return sorted(scores, key=lambda pair: -pair[1])


NOT_FOUND = {"detail": "Not Found"}


class Native(Server):
    """rag-rerankers serve, with a calibration that is no sigmoid."""

    @staticmethod
    def calibration(score: float) -> float:
        return min(max((score + 10) / 20, 0.0), 1.0)

    def answer(self, method, path, body):
        if path in {"/models", "/v1/models"}:
            model = {"id": "m", "object": "model", "created": 1, "owned_by": "rag-rerankers",
                     "kind": "late-interaction", "explains": True, "max_length": 512,
                     "default": True}  # fmt: skip
            return httpx.Response(200, json={"object": "list", "data": [model]})
        if (method, path) != ("POST", "/rank"):
            return httpx.Response(
                404, json={"message": "Not Found", "error": {"message": "Not Found"}}
            )
        hits = [
            {"index": i, "score": score, "relevance": self.calibration(score)}
            for i, score in self.ranked(body["query"], body["texts"])
        ]
        return httpx.Response(200, json={"model": "m", "hits": hits, "tokens": 7, "seconds": 0.1})


class Tei(Server):
    """text-embeddings-inference: a bare list, 32 texts at most, and it says so at /info."""

    limit = 32

    def answer(self, method, path, body):
        if (method, path) == ("GET", "/info"):
            info = {
                "model_id": "BAAI/bge-reranker-v2-m3", "model_sha": None, "model_dtype": "float16",
                "model_type": {"reranker": {"id2label": {"0": "A"}, "label2id": {"A": 0}}},
                "max_concurrent_requests": 512, "max_input_length": 512, "max_batch_tokens": 16384,
                "max_batch_requests": None, "max_client_batch_size": self.limit,
                "auto_truncate": False, "tokenization_workers": 4, "version": "1.9.0",
            }  # fmt: skip
            return httpx.Response(200, json=info)
        if (method, path) != ("POST", "/rerank"):
            return httpx.Response(404)
        if "texts" not in body:
            text = "Failed to deserialize the JSON body into the target type: missing field `texts`"
            return httpx.Response(422, text=text)
        if len(body["texts"]) > self.limit:
            error = f"batch size {len(body['texts'])} > maximum allowed batch size {self.limit}"
            return httpx.Response(413, json={"error": error, "error_type": "Validation"})
        mapped = (lambda x: x) if body.get("raw_scores") else probability
        ranks = [
            {"index": i, "score": mapped(s)} for i, s in self.ranked(body["query"], body["texts"])
        ]
        return httpx.Response(200, json=ranks)


class Documents(Server):
    """What the servers of Cohere's family have in common."""

    paths: tuple[str, ...] = ("/rerank", "/v1/rerank", "/v2/rerank")
    missing = 422
    owner: str | None = None

    def answer(self, method, path, body):
        if method == "GET" and path in self.model_paths() and self.owner is not None:
            model = {"id": "served", "object": "model", "created": 1, "owned_by": self.owner}
            return httpx.Response(200, json={"object": "list", "data": [model]})
        if method != "POST" or path not in self.paths:
            return httpx.Response(404, json=NOT_FOUND)
        if not body.get("documents"):
            detail = [{"type": "missing", "loc": ["body", "documents"], "msg": "Field required"}]
            return httpx.Response(self.missing, json={"detail": detail})
        ranked = self.ranked(body["query"], body["documents"])
        return httpx.Response(200, json=self.envelope(body, ranked[: body.get("top_n") or None]))

    def model_paths(self) -> tuple[str, ...]:
        return ("/v1/models",)

    def envelope(self, body: Any, ranked: list[tuple[int, float]]) -> Any:
        raise NotImplementedError


class Infinity(Documents):
    paths = ("/rerank",)
    owner = "infinity"

    def model_paths(self):
        return ("/models",)

    def envelope(self, body, ranked):
        mapped = (lambda x: x) if body.get("raw_scores") else probability
        results = [{"relevance_score": mapped(s), "index": i, "document": None} for i, s in ranked]
        usage = {"prompt_tokens": 90, "total_tokens": 90}
        return {"object": "rerank", "results": results, "model": body.get("model", "default"),
                "usage": usage, "id": "infinity-1", "created": 1}  # fmt: skip


class Vllm(Documents):
    owner = "vllm"

    def envelope(self, body, ranked):
        results = [
            {
                "index": i,
                "document": {"text": body["documents"][i]},
                "relevance_score": probability(s),
            }
            for i, s in ranked
        ]
        return {
            "id": "rerank-1",
            "model": body.get("model"),
            "usage": {"total_tokens": 56},
            "results": results,
        }


class Cohere(Documents):
    """https://api.cohere.com/v2/rerank: wants a key and a model."""

    paths = ("/v2/rerank",)

    def answer(self, method, path, body):
        if self.headers.get("authorization") != "Bearer co-key":
            return httpx.Response(401, json={"id": "1", "message": "invalid api token"})
        if body is not None and not body.get("model"):
            return httpx.Response(400, json={"message": "model is required"})
        return super().answer(method, path, body)

    def envelope(self, body, ranked):
        return {
            "id": "07734bd2",
            "results": [{"index": i, "relevance_score": probability(s)} for i, s in ranked],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        }


class Jina(Documents):
    """https://api.jina.ai/v1/rerank."""

    paths = ("/v1/rerank",)

    def envelope(self, body, ranked):
        results = [{"index": i, "relevance_score": probability(s)} for i, s in ranked]
        return {
            "model": body.get("model"),
            "object": "list",
            "usage": {"total_tokens": 815},
            "results": results,
        }


class LlamaCpp(Documents):
    """llama-server --reranking: logits."""

    owner = "llamacpp"
    missing = 400
    paths = ("/rerank", "/reranking", "/v1/rerank", "/v1/reranking")

    def model_paths(self):
        return ("/models", "/v1/models")

    def envelope(self, body, ranked):
        return {
            "model": body.get("model"), "object": "list",
            "usage": {"prompt_tokens": 11, "total_tokens": 11},
            "results": [{"index": i, "relevance_score": s} for i, s in ranked],
        }  # fmt: skip


SERVERS = [Native, Tei, Infinity, Vllm, Jina, LlamaCpp]
