"""What tracing tools see of a reranking: a start and an end, always in pairs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload

# The documented place, although it re-exports the name in a way that mypy's strict mode refuses.
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import NodeWithScore, QueryBundle

from llama_index.postprocessor.rag_rerankers.nodes import snapshot
from rag_rerankers.metering import metered

__all__ = ["dispatcher", "reranking"]

# Named for the package: a handler added there sees these events and the spans of its classes.
dispatcher = get_dispatcher("llama_index.postprocessor.rag_rerankers")


@contextmanager
def reranking(
    callback_manager: CallbackManager,
    nodes: Sequence[NodeWithScore],
    query: QueryBundle,
    top_n: int | None,
    model_name: str,
) -> Iterator[list[NodeWithScore]]:
    """Send the events around the block; the block puts its result into the list it is given.

    If the block raises, the end event holds no nodes and the error passes through; this covers
    cancellation too. If the ranking is skipped (``on_failure="keep_order"``), there is also an
    ``ExceptionEvent`` with the error, and the callback's payload holds it.
    """
    before = snapshot(nodes)
    limit = len(nodes) if top_n is None else top_n
    result: list[NodeWithScore] = []
    after: list[NodeWithScore] = []
    dispatcher.event(
        # A copy, as retrievers write the embedding into the bundle.
        ReRankStartEvent(query=copy.copy(query), nodes=before, top_n=limit, model_name=model_name)
    )
    try:
        payload: dict[str, Any] = {
            EventPayload.NODES: before,
            EventPayload.MODEL_NAME: model_name,
            EventPayload.QUERY_STR: query.query_str,
            EventPayload.TOP_K: limit,
        }
        with callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            with metered(shared=True) as meter:
                yield result
            after = snapshot(result)
            ended: dict[str, Any] = {EventPayload.NODES: after}
            if meter.failure is not None:
                ended[EventPayload.EXCEPTION] = meter.failure
                dispatcher.event(ExceptionEvent(exception=meter.failure))
            event.on_end(payload=ended)
    finally:
        dispatcher.event(ReRankEndEvent(nodes=after))
