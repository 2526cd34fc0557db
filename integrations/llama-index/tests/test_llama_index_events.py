"""Starts and ends come in pairs, and what they hold does not change afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from llama_index.postprocessor.rag_rerankers import RagRerank
from rag_rerankers import ModelLoadError, Reranker

QUERY = "red green blue"


async def run(rerank: RagRerank, asynchronous: bool, nodes: Any, query: Any) -> list[NodeWithScore]:
    if asynchronous:
        return await rerank.apostprocess_nodes(nodes, query)
    return rerank.postprocess_nodes(nodes, query)


both = pytest.mark.parametrize("asynchronous", [False, True])


@both
async def test_both_pairs_hold_what_happened(
    overlap: Any,
    nodes: list[NodeWithScore],
    event_log: Any,
    callback_manager: CallbackManager,
    callback_log: Any,
    asynchronous: bool,
) -> None:
    rerank = RagRerank(model=overlap, top_n=2, callback_manager=callback_manager)
    await run(rerank, asynchronous, nodes, QueryBundle(QUERY))
    start, end = event_log.events
    assert isinstance(start, ReRankStartEvent)
    assert isinstance(end, ReRankEndEvent)
    assert isinstance(start.query, QueryBundle)
    assert (start.query.query_str, start.top_n, start.model_name) == (QUERY, 2, "Overlap")
    assert [(n.node_id, n.score) for n in start.nodes] == [(n.node_id, n.score) for n in nodes]
    assert [n.node_id for n in end.nodes] == ["n1", "n3"]
    assert end.nodes[0].score == pytest.approx(0.9525741268)
    (before,), (after,) = callback_log.starts, callback_log.ends
    assert [n.node_id for n in before[EventPayload.NODES]] == ["n0", "n1", "n2", "n3"]
    assert before[EventPayload.MODEL_NAME] == "Overlap"
    assert before[EventPayload.QUERY_STR] == QUERY
    assert before[EventPayload.TOP_K] == 2
    assert [n.node_id for n in after[EventPayload.NODES]] == ["n1", "n3"]


@both
async def test_an_error_still_ends_both_pairs(
    broken: Any,
    nodes: list[NodeWithScore],
    event_log: Any,
    callback_manager: CallbackManager,
    callback_log: Any,
    asynchronous: bool,
) -> None:
    rerank = RagRerank(model=broken, callback_manager=callback_manager)
    with pytest.raises(RuntimeError, match="fell over"):
        await run(rerank, asynchronous, nodes, QueryBundle(QUERY))
    start, end = event_log.events
    assert isinstance(start, ReRankStartEvent)
    assert isinstance(end, ReRankEndEvent)
    assert end.nodes == []
    assert len(callback_log.starts) == 1
    (payload,) = callback_log.ends
    assert isinstance(payload[EventPayload.EXCEPTION], RuntimeError)


async def test_cancellation_ends_both_pairs_and_passes_through(
    make_slow: Any,
    nodes: list[NodeWithScore],
    event_log: Any,
    callback_manager: CallbackManager,
    callback_log: Any,
) -> None:
    rerank = RagRerank(model=make_slow(0.3), callback_manager=callback_manager)
    task = asyncio.create_task(rerank.apostprocess_nodes(nodes, query_str=QUERY))
    while not event_log.events:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [type(event) for event in event_log.events] == [ReRankStartEvent, ReRankEndEvent]
    assert event_log.events[1].nodes == []
    assert (len(callback_log.starts), callback_log.ends) == (1, [None])


@both
async def test_mistakes_send_no_event(
    overlap: Any,
    nodes: list[NodeWithScore],
    event_log: Any,
    callback_manager: CallbackManager,
    callback_log: Any,
    asynchronous: bool,
) -> None:
    rerank = RagRerank(model=overlap, callback_manager=callback_manager)
    with pytest.raises(ValueError, match="query is missing"):
        await run(rerank, asynchronous, nodes, None)
    with pytest.raises(TypeError, match="node 0"):
        await run(rerank, asynchronous, [None], QueryBundle(QUERY))
    assert await run(rerank, asynchronous, [], QueryBundle(QUERY)) == []
    unknown = RagRerank(model="/no/such/folder", callback_manager=callback_manager)
    with pytest.raises(ModelLoadError, match="/no/such/folder"):
        await run(unknown, asynchronous, nodes, QueryBundle(QUERY))
    assert event_log.events == callback_log.starts == callback_log.ends == []


def test_events_do_not_change_with_the_nodes(
    overlap: Any,
    nodes: list[NodeWithScore],
    event_log: Any,
    callback_manager: CallbackManager,
    callback_log: Any,
) -> None:
    query = QueryBundle(QUERY)
    nodes[1].node.metadata["title"] = "T"
    hits = RagRerank(
        model=overlap, callback_manager=callback_manager, metadata_mode=MetadataMode.NONE
    ).postprocess_nodes(nodes, query)
    for entry in (*nodes, *hits):
        entry.score = -1.0
        entry.node.metadata["title"] = "changed"
        entry.node.excluded_llm_metadata_keys.append("title")
        entry.node.set_content("changed")
    hits.clear()
    query.embedding = [1.0]
    start, end = event_log.events
    seen = (
        (start.nodes, [0.5, 0.4, 0.3, 0.2]),
        (callback_log.starts[0][EventPayload.NODES], [0.5, 0.4, 0.3, 0.2]),
        (end.nodes, [0.9525741268, 0.8807970780, 0.7310585786, 0.5]),
        (callback_log.ends[0][EventPayload.NODES], [0.9525741268, 0.8807970780, 0.7310585786, 0.5]),
    )
    for kept, scores in seen:
        assert [n.score for n in kept] == pytest.approx(scores)
        by_id = {n.node_id: n.node for n in kept}
        assert by_id["n1"].metadata == {"title": "T"}
        assert by_id["n0"].metadata == {}
        assert by_id["n0"].get_content() == "red cat"
        assert by_id["n0"].excluded_llm_metadata_keys == []
    assert start.query.embedding is None


def test_top_n_none_is_told_as_the_number_of_nodes(
    overlap: Any, nodes: list[NodeWithScore], event_log: Any
) -> None:
    RagRerank(model=overlap, top_n=None).postprocess_nodes(nodes, query_str=QUERY)
    assert event_log.events[0].top_n == 4


def test_model_name_is_the_name_of_the_model(nodes: list[NodeWithScore], event_log: Any) -> None:
    RagRerank(device="cpu").postprocess_nodes(nodes, query_str=QUERY)
    RagRerank(model=Reranker(device="cpu")).postprocess_nodes(nodes, query_str=QUERY)
    assert {e.model_name for e in event_log.events[::2]} == {"minilm-maxsim"}


def test_a_callback_that_raises_still_ends_the_event(
    overlap: Any, nodes: list[NodeWithScore], event_log: Any, callback_log: Any
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> str:
        raise OSError("no disk for traces")

    callback_log.on_event_start = refuse
    rerank = RagRerank(model=overlap, callback_manager=CallbackManager([callback_log]))
    with pytest.raises(OSError, match="no disk"):
        rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [type(event) for event in event_log.events] == [ReRankStartEvent, ReRankEndEvent]


@both
async def test_one_span_around_the_events(
    overlap: Any, nodes: list[NodeWithScore], event_log: Any, asynchronous: bool
) -> None:
    spans = SimpleSpanHandler()
    dispatcher = get_dispatcher("llama_index.postprocessor.rag_rerankers")
    dispatcher.add_span_handler(spans)
    try:
        await run(RagRerank(model=overlap), asynchronous, nodes, QueryBundle(QUERY))
    finally:
        dispatcher.span_handlers.remove(spans)
    name = "_apostprocess_nodes" if asynchronous else "_postprocess_nodes"
    (span,) = spans.completed_spans
    assert span.id_.startswith(f"RagRerank.{name}-")
    assert {event.span_id for event in event_log.events} == {span.id_}
