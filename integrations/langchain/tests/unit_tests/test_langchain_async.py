from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from rag_rerankers import check_cancelled

from langchain_rag_rerankers import RagRerank


async def longest_silence(work: Any) -> float:
    """Run the work beside a heart that beats every 10 ms; return its longest pause in seconds."""
    pauses: list[float] = []

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.01)
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    heart = asyncio.create_task(beat())
    await asyncio.sleep(0.03)
    await work
    await asyncio.sleep(0.03)
    heart.cancel()
    return max(pauses)


async def test_same_result_as_sync(words: Any, documents: list[Document]) -> None:
    rerank = RagRerank(model=words, top_n=3, threshold=0.6, scores="raw")
    expected = rerank.compress_documents(documents, "red green blue")
    result = await rerank.acompress_documents(documents, "red green blue")
    assert [d.id for d in result] == ["three", "two", "one"]
    assert result == expected


async def test_is_native(words: Any, documents: list[Document]) -> None:
    class NoSync(RagRerank):
        def compress_documents(self, *_: Any, **__: Any) -> list[Document]:
            raise AssertionError("the async path must not run the sync one in a thread")

    rerank = NoSync(model=words)
    assert len(await rerank.acompress_documents(documents, "red")) == 4
    inputs = {"query": "red", "documents": documents}
    assert len(await rerank.as_runnable().ainvoke(inputs)) == 4


async def test_ranking_does_not_block_the_event_loop() -> None:
    class Slow:
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            time.sleep(0.6)
            return [0.0] * len(texts)

    work = RagRerank(model=Slow()).acompress_documents([Document("red")], "red")
    assert await longest_silence(work) < 0.4


async def test_loading_does_not_block_the_event_loop(loads: Any) -> None:
    loads.seconds = 0.6
    work = RagRerank(model="some-model").acompress_documents([Document("red")], "red")
    assert await longest_silence(work) < 0.4
    assert len(loads.calls) == 1


async def test_cancellation_stops_the_work(recorder: Any) -> None:
    started, stopped = threading.Event(), threading.Event()

    class Endless:
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            started.set()
            try:
                for _ in range(500):
                    check_cancelled()
                    time.sleep(0.01)
            except BaseException:
                stopped.set()
                raise
            return [0.0] * len(texts)

    rerank = RagRerank(model=Endless())
    task = asyncio.create_task(
        rerank.acompress_documents([Document("red")], "red", callbacks=[recorder])
    )
    assert await asyncio.to_thread(started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 2)
    assert await asyncio.to_thread(stopped.wait, 2)
    assert recorder.events == []


async def test_twenty_tasks_share_one_instance(loads: Any) -> None:
    loads.seconds = 0.1
    rerank = RagRerank(model="some-model", scores="raw", top_n=2)

    async def work(i: int) -> list[tuple[str, float]]:
        documents = [Document(text) for text in ("none", f"w{i}", f"w{i} w{i}b")]
        result = await rerank.acompress_documents(documents, f"w{i} w{i}b")
        return [(d.page_content, d.metadata["relevance_score"]) for d in result]

    results = await asyncio.gather(*(work(i) for i in range(20)))
    assert len(loads.calls) == 1
    assert results == [[(f"w{i} w{i}b", 2.0), (f"w{i}", 1.0)] for i in range(20)]
