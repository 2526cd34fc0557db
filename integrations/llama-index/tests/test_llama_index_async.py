"""Native async: the loop stays free, tasks share one instance, cancellation works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore

import rag_rerankers.sharing
from llama_index.postprocessor.rag_rerankers import RagRerank
from rag_rerankers import Reranker, check_cancelled


async def longest_gap(work: Any) -> tuple[float, Any]:
    """Run the coroutine beside a heartbeat; return the longest time between two beats."""
    gaps: list[float] = []

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    heart = asyncio.create_task(beat())
    # It must beat before the work starts, or it would not see a block from the first moment.
    await asyncio.sleep(0.02)
    result = await work
    # One more beat, so that a block until the very end is seen.
    await asyncio.sleep(0.02)
    heart.cancel()
    return max(gaps), result


async def test_same_result_as_sync(overlap: Any, nodes: list[NodeWithScore]) -> None:
    rerank = RagRerank(model=overlap, top_n=3, keep_retrieval_score=True)
    hits = await rerank.apostprocess_nodes(nodes, query_str="red green blue")
    assert [hit.node_id for hit in hits] == ["n1", "n3", "n0"]
    assert [hit.metadata["retrieval_rank"] for hit in hits] == [1, 3, 0]
    assert "retrieval_rank" not in nodes[1].metadata


async def test_scoring_does_not_block_the_loop(make_slow: Any, nodes: list[NodeWithScore]) -> None:
    rerank = RagRerank(model=make_slow(0.6))
    gap, hits = await longest_gap(rerank.apostprocess_nodes(nodes, query_str="red"))
    assert len(hits) == 4
    assert gap < 0.4


async def test_loading_does_not_block_the_loop(
    no_shared_models: None,
    monkeypatch: pytest.MonkeyPatch,
    overlap: Any,
    nodes: list[NodeWithScore],
) -> None:
    loads: list[str] = []

    def load(name: str, **options: Any) -> Reranker:
        time.sleep(0.6)
        loads.append(name)
        return Reranker(overlap)

    monkeypatch.setattr(rag_rerankers.sharing, "Reranker", load)
    rerank = RagRerank(model="some/model")

    async def twenty() -> list[list[NodeWithScore]]:
        return await asyncio.gather(
            *(rerank.apostprocess_nodes(nodes, query_str="red") for _ in range(20))
        )

    gap, results = await longest_gap(twenty())
    assert gap < 0.4
    assert loads == ["some/model"]
    assert [len(hits) for hits in results] == [4] * 20


async def test_twenty_tasks_share_one_instance(make_slow: Any, make_nodes: Any) -> None:
    slow = make_slow(0.05)
    rerank = RagRerank(model=slow, top_n=1)

    async def ask(i: int) -> str:
        nodes = make_nodes(*(f"word{j}" for j in range(i, i + 10)))
        (best,) = await rerank.apostprocess_nodes(nodes, query_str=f"word{i + 7}")
        return str(best.node.get_content())

    assert await asyncio.gather(*map(ask, range(20))) == [f"word{i + 7}" for i in range(20)]
    assert slow.most > 1


async def test_cancellation_stops_the_scorer(nodes: list[NodeWithScore]) -> None:
    stopped: list[bool] = []

    class Endless:
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            try:
                for _ in range(1000):
                    time.sleep(0.005)
                    check_cancelled()
            except BaseException:
                stopped.append(True)
                raise
            return [0.0] * len(texts)

    rerank = RagRerank(model=Endless())
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(rerank.apostprocess_nodes(nodes, query_str="q"), 0.05)
    for _ in range(200):
        if stopped:
            break
        await asyncio.sleep(0.01)
    assert stopped == [True]


async def test_mistakes_and_empty_input(overlap: Any, nodes: list[NodeWithScore]) -> None:
    assert await RagRerank(model="no/such").apostprocess_nodes([], query_str="q") == []
    with pytest.raises(ValueError, match="query is missing"):
        await RagRerank(model=overlap).apostprocess_nodes(nodes)
    with pytest.raises(TypeError, match="node 4"):
        await RagRerank(model=overlap).apostprocess_nodes([*nodes, None], query_str="q")  # type: ignore[list-item]
