"""A ranking that was skipped: nodes as they were, without a score, and an event that tells why."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import NodeWithScore
from pydantic import PrivateAttr

from llama_index.postprocessor.rag_rerankers import RagRerank
from rag_rerankers import RemoteError, Reranker, RerankSkippedWarning
from rag_rerankers.metering import metered


class Down:
    def score(self, query: str, texts: Any) -> list[float]:
        raise RemoteError("http://h/rank answered 503: overloaded", status=503)


class AllEvents(BaseEventHandler):
    _events: list[BaseEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "AllEvents"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        if isinstance(event, (ReRankStartEvent, ReRankEndEvent, ExceptionEvent)):
            self._events.append(event)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    handler = AllEvents()
    root = get_dispatcher()
    root.add_event_handler(handler)
    yield handler._events
    root.event_handlers.remove(handler)


async def run(rerank: RagRerank, asynchronous: bool, nodes: Any) -> list[NodeWithScore]:
    if asynchronous:
        return await rerank.apostprocess_nodes(nodes, query_str="red")
    return rerank.postprocess_nodes(nodes, query_str="red")


both = pytest.mark.parametrize("asynchronous", [False, True])


@both
@pytest.mark.parametrize("ready", [False, True])
async def test_nodes_come_back_as_they_were_without_a_score(
    nodes: list[NodeWithScore],
    events: list[Any],
    callback_manager: CallbackManager,
    callback_log: Any,
    asynchronous: bool,
    ready: bool,
) -> None:
    settings: dict[str, Any] = (
        {"model": Reranker(Down(), on_failure="keep_order")}
        if ready
        else {"model": Down(), "on_failure": "keep_order"}
    )
    rerank = RagRerank(
        top_n=3,
        threshold=0.9,
        keep_retrieval_score=True,
        callback_manager=callback_manager,
        **settings,
    )
    assert rerank.on_failure == "keep_order"
    with metered() as meter, pytest.warns(RerankSkippedWarning, match="503: overloaded"):
        found = await run(rerank, asynchronous, nodes)
    assert [node.node_id for node in found] == ["n0", "n1", "n2"]
    assert [node.score for node in found] == [None, None, None]
    assert [node.metadata["retrieval_score"] for node in found] == pytest.approx([0.5, 0.4, 0.3])
    assert [node.score for node in nodes] == pytest.approx([0.5, 0.4, 0.3, 0.2])
    start, failed, end = events
    assert isinstance(start, ReRankStartEvent)
    assert isinstance(failed, ExceptionEvent)
    assert isinstance(end, ReRankEndEvent)
    assert failed.exception is meter.failure
    assert [node.score for node in end.nodes] == [None, None, None]
    (payload,) = callback_log.ends
    assert payload[EventPayload.EXCEPTION] is meter.failure


@both
async def test_otherwise_there_is_no_failure(
    overlap: Any,
    nodes: list[NodeWithScore],
    events: list[Any],
    callback_manager: CallbackManager,
    callback_log: Any,
    asynchronous: bool,
) -> None:
    rerank = RagRerank(model=overlap, on_failure="keep_order", callback_manager=callback_manager)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RerankSkippedWarning)
        await run(rerank, asynchronous, nodes)
    assert [type(event) for event in events] == [ReRankStartEvent, ReRankEndEvent]
    assert EventPayload.EXCEPTION not in callback_log.ends[0]


@both
async def test_by_default_the_error_is_raised(
    nodes: list[NodeWithScore], asynchronous: bool
) -> None:
    with pytest.raises(RemoteError, match="overloaded"):
        await run(RagRerank(model=Down()), asynchronous, nodes)


def test_a_key_is_in_no_repr_no_dump_and_no_error() -> None:
    rerank = RagRerank(model="http://me:hunter2@h", timeout=5)
    assert "hunter2" not in repr(rerank)
    rerank = RagRerank(model="http://h", api_key="hunter2")
    assert "hunter2" not in repr(rerank)
    assert "hunter2" not in str(rerank.to_dict())
    assert RagRerank.from_dict(rerank.to_dict()).model == "http://h"
    assert pickle.loads(pickle.dumps(rerank)).api_key == "hunter2"
    for wrong in ({"top_n": -1}, {"device": 3}, {"unknown": 1}, {"timeout": -1}):
        with pytest.raises((ValueError, TypeError)) as caught:
            RagRerank(model="http://h", api_key="hunter2", **wrong)
        assert "hunter2" not in str(caught.value)
    for key in ("hunter2\n", 2):
        with pytest.raises((ValueError, TypeError), match="api_key") as caught:
            RagRerank(model="http://h", api_key=key)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)


def test_a_reranker_made_of_a_url_is_pickled_with_its_password() -> None:
    rerank = RagRerank(model=Reranker("http://me:hunter2@h", timeout=5))
    assert "hunter2" not in repr(rerank)
    copy = pickle.loads(pickle.dumps(rerank))
    assert (copy.model, copy.timeout) == ("http://me:hunter2@h", 5)
