from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from langchain_rag_rerankers import RERANK_EVENT, RagRerank

QUERY = "red green blue"


@pytest.fixture
def rerank(words: Any) -> RagRerank:
    return RagRerank(model=words, top_n=2)


def ids(documents: Any) -> list[str]:
    return [document.id for document in documents]


@pytest.mark.parametrize("key", ["query", "question"])
async def test_invoke(rerank: RagRerank, documents: list[Document], key: str) -> None:
    inputs = {key: QUERY, "documents": documents, "other": 1}
    expected = rerank.compress_documents(documents, QUERY)
    assert ids(expected) == ["three", "two"]
    assert rerank.as_runnable().invoke(inputs) == expected
    assert await rerank.as_runnable().ainvoke(inputs) == expected


def test_query_wins_over_question(rerank: RagRerank, documents: list[Document]) -> None:
    inputs = {"question": "nothing at all", "query": QUERY, "documents": documents}
    assert ids(rerank.as_runnable().invoke(inputs)) == ["three", "two"]


async def test_in_a_chain(rerank: RagRerank, retriever: Any) -> None:
    chain = (
        {"query": RunnablePassthrough(), "documents": retriever}
        | rerank.as_runnable()
        | RunnableLambda(ids)
    )
    assert chain.invoke(QUERY) == ["three", "two"]
    assert await chain.ainvoke(QUERY) == ["three", "two"]


async def test_batch_and_stream(rerank: RagRerank, documents: list[Document]) -> None:
    runnable = rerank.as_runnable()
    inputs = [{"query": query, "documents": documents} for query in (QUERY, "sky", "nothing")]
    expected = [["three", "two"], ["one", "three"], ["zero", "one"]]
    assert [ids(result) for result in runnable.batch(inputs)] == expected
    assert [ids(result) for result in await runnable.abatch(inputs)] == expected
    assert [ids(chunk) for chunk in runnable.stream(inputs[0])] == [["three", "two"]]
    chunks = [ids(chunk) async for chunk in runnable.astream(inputs[0])]
    assert chunks == [["three", "two"]]


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_config_flows_through(
    rerank: RagRerank, documents: list[Document], recorder: Any, way: str
) -> None:
    inputs = {"query": QUERY, "documents": documents}
    config: Any = {"callbacks": [recorder], "tags": ["mine"]}
    if way == "sync":
        rerank.as_runnable().invoke(inputs, config)
    else:
        await rerank.as_runnable().ainvoke(inputs, config)
    [(run_id, name)] = recorder.chain_runs
    assert name == "RagRerank"
    [(event, _, event_run_id)] = recorder.events
    assert (event, event_run_id) == (RERANK_EVENT, run_id)
    assert "mine" in recorder.tags[0]


async def test_event_appears_in_astream_events(
    rerank: RagRerank, documents: list[Document]
) -> None:
    inputs = {"query": QUERY, "documents": documents}
    events: list[Any] = [
        event
        async for event in rerank.as_runnable().astream_events(inputs, version="v2")
        if event["event"] == "on_custom_event"
    ]
    assert [(event["name"], event["data"]["n_returned"]) for event in events] == [(RERANK_EVENT, 2)]


def test_empty_documents(loads: Any) -> None:
    runnable = RagRerank(model="some-model").as_runnable()
    assert runnable.invoke({"query": QUERY, "documents": []}) == []
    assert loads.calls == []


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ("red", TypeError, "not str: 'red'"),
        ({"documents": []}, ValueError, "has only 'documents'"),
        ({"query": None, "documents": []}, ValueError, "has only 'documents'"),
        ({"question": "red"}, ValueError, "has only 'question'"),
        ({}, ValueError, "has only nothing"),
        ({"query": "red", "documents": None}, TypeError, "documents must be a list"),
    ],
)
async def test_bad_input(rerank: RagRerank, inputs: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        rerank.as_runnable().invoke(inputs)
    with pytest.raises(error, match=message):
        await rerank.as_runnable().ainvoke(inputs)


def test_runnable_pickles(loads: Any, documents: list[Document]) -> None:
    runnable = RagRerank(model="some-model", top_n=1).as_runnable()
    twin = pickle.loads(pickle.dumps(runnable))
    assert ids(twin.invoke({"query": QUERY, "documents": documents})) == ["three"]
