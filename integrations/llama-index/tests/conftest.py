"""Scorers with hand-made scores, and handlers that write down what they see."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import PrivateAttr

from rag_rerankers import clear_shared_rerankers


class Overlap:
    """Counts the words that text and query share, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.calls.append((query, list(texts)))
        words = set(query.split())
        return [float(len(words & set(text.split()))) for text in texts]


class Slow(Overlap):
    """Takes its time, like a model does, and counts how many calls run at once."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.running = self.most = 0
        self.lock = threading.Lock()

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.seconds)
        with self.lock:
            self.running -= 1
        return super().score(query, texts)


class Broken:
    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        raise RuntimeError("the model fell over")


class EventLog(BaseEventHandler):
    _events: list[BaseEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "EventLog"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        if isinstance(event, (ReRankStartEvent, ReRankEndEvent)):
            self._events.append(event)

    @property
    def events(self) -> list[Any]:
        return self._events


class CallbackLog(BaseCallbackHandler):
    def __init__(self) -> None:
        super().__init__([], [])
        self.starts: list[dict[str, Any]] = []
        self.ends: list[dict[str, Any] | None] = []

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **kwargs: Any,
    ) -> str:
        if event_type == CBEventType.RERANKING:
            self.starts.append(payload or {})
        return event_id

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        **kwargs: Any,
    ) -> None:
        if event_type == CBEventType.RERANKING:
            self.ends.append(payload)

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(
        self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None
    ) -> None: ...


def make_nodes(*texts: str, score: float = 0.5) -> list[NodeWithScore]:
    """Nodes with falling retrieval scores: .5, .4, ..."""
    return [
        NodeWithScore(node=TextNode(text=text, id_=f"n{i}"), score=score - i / 10)
        for i, text in enumerate(texts)
    ]


@pytest.fixture
def overlap() -> Overlap:
    return Overlap()


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    # Words shared with "red green blue": 1, 3, 0, 2.
    return make_nodes("red cat", "red green blue dog", "fish", "green blue cow")


@pytest.fixture
def event_log() -> Iterator[EventLog]:
    log = EventLog()
    root = get_dispatcher()
    root.add_event_handler(log)
    yield log
    root.event_handlers.remove(log)


@pytest.fixture
def callback_log() -> CallbackLog:
    return CallbackLog()


@pytest.fixture
def callback_manager(callback_log: CallbackLog) -> CallbackManager:
    return CallbackManager([callback_log])


@pytest.fixture
def no_shared_models() -> Iterator[None]:
    clear_shared_rerankers()
    yield
    clear_shared_rerankers()


@pytest.fixture
def make_slow() -> type[Slow]:
    return Slow


@pytest.fixture
def broken() -> Broken:
    return Broken()


@pytest.fixture(name="make_nodes")
def make_nodes_fixture() -> Any:
    return make_nodes
