from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from langchain_rag_rerankers import RERANK_EVENT, RagRerank

QUERY = "red green blue"
RUN = UUID(int=7)


async def call(rerank: RagRerank, way: str, *args: Any, **kwargs: Any) -> Any:
    if way == "sync":
        return rerank.compress_documents(*args, **kwargs)
    return await rerank.acompress_documents(*args, **kwargs)


def check(events: list[Any], **expected: Any) -> UUID:
    """One event with the expected data; returns its run id."""
    [(name, data, run_id)] = events
    assert name == RERANK_EVENT == "rag_rerankers.rerank"
    data = dict(data)
    seconds = data.pop("seconds")
    assert type(seconds) is float
    assert 0 <= seconds < 5
    default = {
        "model": "WordOverlap",
        "n_documents": 4,
        "n_returned": 2,
        "top_n": 3,
        "threshold": 0.8,
        "failure": None,
    }
    assert data == {**default, **expected}
    assert isinstance(run_id, UUID)
    return run_id


@pytest.fixture
def rerank(words: Any) -> RagRerank:
    return RagRerank(model=words, top_n=3, threshold=0.8)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("kind", ["list", "manager", "async manager"])
@pytest.mark.parametrize("parent", [None, RUN])
async def test_reaches_handlers_given_as_callbacks(
    rerank: RagRerank,
    documents: list[Document],
    recorder: Any,
    async_recorder: Any,
    way: str,
    kind: str,
    parent: UUID | None,
) -> None:
    handlers = [recorder, async_recorder]
    callbacks: Any = handlers
    if kind == "manager":
        callbacks = CallbackManager(handlers, parent_run_id=parent)
    elif kind == "async manager":
        callbacks = AsyncCallbackManager(handlers, parent_run_id=parent)
    await call(rerank, way, documents, QUERY, callbacks=callbacks)
    run_id = check(recorder.events)
    assert check(async_recorder.events) == run_id
    if kind != "list" and parent is not None:
        assert run_id == RUN


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("callbacks", [None, []])
async def test_no_callbacks_no_failure(
    rerank: RagRerank, documents: list[Document], way: str, callbacks: Any
) -> None:
    assert len(await call(rerank, way, documents, QUERY, callbacks=callbacks)) == 2
    assert len(await call(rerank, way, documents, QUERY)) == 2


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_failing_handler_does_not_fail_the_rerank(
    rerank: RagRerank, documents: list[Document], recorder: Any, way: str
) -> None:
    class Broken(type(recorder)):  # type: ignore[misc]
        def on_custom_event(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("broken handler")

    result = await call(rerank, way, documents, QUERY, callbacks=[Broken(), recorder])
    assert len(result) == 2
    check(recorder.events)


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_nothing_reranked_no_event(rerank: RagRerank, recorder: Any, way: str) -> None:
    assert await call(rerank, way, [], QUERY, callbacks=[recorder]) == []
    assert recorder.events == []


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_failing_model_sends_no_event(
    documents: list[Document], recorder: Any, way: str
) -> None:
    class NotANumber:
        def score(self, query: str, texts: Any) -> list[float]:
            return [float("nan")] * len(texts)

    with pytest.raises(ValueError, match="NaN"):
        await call(RagRerank(model=NotANumber()), way, documents, QUERY, callbacks=[recorder])
    assert recorder.events == []


async def test_the_name_of_a_model_is_in_the_event(
    loads: Any, documents: list[Document], recorder: Any
) -> None:
    rerank = RagRerank(model="some-model", top_n=None)
    rerank.compress_documents(documents, QUERY, callbacks=[recorder])
    check(recorder.events, model="some-model", n_returned=4, top_n=None, threshold=None)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("piped", [False, True])
async def test_inside_a_compression_retriever(
    rerank: RagRerank, retriever: Any, recorder: Any, way: str, piped: bool
) -> None:
    compressor = DocumentCompressorPipeline(transformers=[rerank]) if piped else rerank
    compression = ContextualCompressionRetriever(
        base_compressor=compressor, base_retriever=retriever
    )
    config: Any = {"callbacks": [recorder], "tags": ["mine"]}
    if way == "sync":
        result = compression.invoke(QUERY, config)
    else:
        result = await compression.ainvoke(QUERY, config)
    assert [d.id for d in result] == ["three", "two"]
    # The event belongs to the outer retriever's run, which started first, and has its tags.
    assert check(recorder.events) == recorder.retriever_runs[0]
    assert "mine" in recorder.tags[0]


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_belongs_to_the_runnable_around_it(
    rerank: RagRerank, documents: list[Document], recorder: Any, way: str
) -> None:
    if way == "async" and sys.version_info < (3, 11):
        pytest.skip("before Python 3.11 asyncio does not pass the surrounding run on")

    def step(query: str) -> list[Document]:
        return rerank.compress_documents(documents, query)

    async def astep(query: str) -> list[Document]:
        return await rerank.acompress_documents(documents, query)

    runnable = RunnableLambda(step, afunc=astep)
    config: Any = {"callbacks": [recorder]}
    if way == "sync":
        runnable.invoke(QUERY, config)
    else:
        await runnable.ainvoke(QUERY, config)
    [(run_id, _)] = recorder.chain_runs
    assert check(recorder.events) == run_id
