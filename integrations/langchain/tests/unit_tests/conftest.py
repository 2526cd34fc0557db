"""What the tests of this package share: a hand-worked scorer, a retriever, recording handlers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from rag_rerankers import clear_shared_rerankers


class WordOverlap:
    """Number of words that a text has in common with the query: easy to work out by hand."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        words = set(query.split())
        return [float(len(words & set(text.split()))) for text in texts]


class ListRetriever(BaseRetriever):
    """Returns the documents it was given, whatever the question."""

    documents: list[Document]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return self.documents


class Recorder(BaseCallbackHandler):
    """Keeps the events, and the ids and names of the runs, that it was told about."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any], UUID]] = []
        self.tags: list[list[str]] = []
        self.retriever_runs: list[UUID] = []
        self.chain_runs: list[tuple[UUID, str | None]] = []

    def on_custom_event(
        self, name: str, data: Any, *, run_id: UUID, tags: list[str] | None = None, **_: Any
    ) -> None:
        self.events.append((name, data, run_id))
        self.tags.append(tags or [])

    def on_retriever_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
        self.retriever_runs.append(run_id)

    def on_chain_start(self, *_: Any, run_id: UUID, name: str | None = None, **__: Any) -> None:
        self.chain_runs.append((run_id, name))


class AsyncRecorder(AsyncCallbackHandler):
    """A handler whose methods are coroutines."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any], UUID]] = []

    async def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **_: Any) -> None:
        self.events.append((name, data, run_id))


class LoadCounter:
    """Stands in for the core's loader: counts, and takes as long as it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.seconds = 0.0

    def __call__(self, name: str, options: Any) -> WordOverlap:
        self.calls.append((name, options))
        time.sleep(self.seconds)
        return WordOverlap()


@pytest.fixture
def words() -> WordOverlap:
    return WordOverlap()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadCounter]:
    """Models given by name become WordOverlap; every load is counted."""
    counter = LoadCounter()
    monkeypatch.setattr("rag_rerankers.scorers.load_scorer", counter)
    clear_shared_rerankers()
    yield counter
    clear_shared_rerankers()


@pytest.fixture
def documents() -> list[Document]:
    """Overlap with "red green blue": 1, 3, 0, 2."""
    return [
        Document("red sky", id="one", metadata={"source": "a.txt"}),
        Document("blue green red paint", id="three", metadata={"source": "b.txt"}),
        Document("nothing at all", id="zero"),
        Document("green blue", id="two", metadata={"source": "c.txt"}),
    ]


@pytest.fixture
def retriever(documents: list[Document]) -> ListRetriever:
    return ListRetriever(documents=documents)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def async_recorder() -> AsyncRecorder:
    return AsyncRecorder()
