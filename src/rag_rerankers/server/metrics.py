"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TEXTS = (1, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


class Metrics:
    """The metrics of one server; several may live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self.requests = Counter(
            "rag_rerankers_requests_total",
            "Answers, by route and status.",
            ("route", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "rag_rerankers_request_seconds",
            "Time from the request's headers to the end of the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.rank_seconds = Histogram(
            "rag_rerankers_rank_seconds",
            "Time that a ranking took, waiting for others included.",
            ("model",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.texts = Histogram(
            "rag_rerankers_texts",
            "Candidates of a ranking.",
            ("model",),
            buckets=_TEXTS,
            registry=self._registry,
        )
        self.tokens = Counter(
            "rag_rerankers_tokens_total",
            "Tokens that went through a model.",
            ("model",),
            registry=self._registry,
        )
        self.truncated = Counter(
            "rag_rerankers_truncated_texts_total",
            "Texts that were longer than the model reads.",
            ("model",),
            registry=self._registry,
        )
        self.shed = Counter(
            "rag_rerankers_shed_total",
            "Requests that were refused because the server was full or stopping.",
            registry=self._registry,
        )
        self.late = Counter(
            "rag_rerankers_deadline_exceeded_total",
            "Requests whose deadline passed.",
            registry=self._registry,
        )
        self.gone = Counter(
            "rag_rerankers_disconnected_total",
            "Requests whose client hung up before the answer.",
            registry=self._registry,
        )
        self.inside = Gauge(
            "rag_rerankers_requests_in_progress",
            "Requests that are being worked on.",
            registry=self._registry,
        )
        self.queued = Gauge(
            "rag_rerankers_tokens_in_progress",
            "Their tokens, estimated.",
            registry=self._registry,
        )
        self.ready = Gauge(
            "rag_rerankers_ready",
            "1 when all models are loaded and the server is not stopping.",
            registry=self._registry,
        )

    CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

    def text(self) -> bytes:
        """All of them, in the text format of Prometheus 0.0.4."""
        return generate_latest(self._registry)
