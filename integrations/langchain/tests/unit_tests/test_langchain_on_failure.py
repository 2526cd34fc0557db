from __future__ import annotations

import pickle
import warnings
from typing import Any

import pytest
from langchain_core.documents import Document
from rag_rerankers import RemoteError, Reranker, RerankSkippedWarning
from rag_rerankers.metering import metered

from langchain_rag_rerankers import RagCrossEncoder, RagRerank


class Down:
    def score(self, query: str, texts: Any) -> list[float]:
        raise RemoteError("http://h/rank answered 503: overloaded", status=503)


async def call(rerank: RagRerank, way: str, *args: Any, **kwargs: Any) -> list[Document]:
    if way == "sync":
        return rerank.compress_documents(*args, **kwargs)
    return await rerank.acompress_documents(*args, **kwargs)


both = pytest.mark.parametrize("way", ["sync", "async"])


@both
@pytest.mark.parametrize("ready", [False, True])
async def test_documents_come_back_as_they_were_without_a_score(
    documents: list[Document], recorder: Any, way: str, ready: bool
) -> None:
    documents[1].metadata["relevance_score"] = 0.99  # left by an earlier stage
    rerank = RagRerank(
        top_n=3,
        threshold=0.9,
        **(
            {"model": Reranker(Down(), on_failure="keep_order")}
            if ready
            else {"model": Down(), "on_failure": "keep_order"}
        ),  # type: ignore[arg-type]
    )
    with metered() as meter, pytest.warns(RerankSkippedWarning, match="503: overloaded"):
        found = await call(rerank, way, documents, "q", callbacks=[recorder])
    assert [document.id for document in found] == ["one", "three", "zero"]
    assert [document.metadata["retrieval_rank"] for document in found] == [0, 1, 2]
    assert all("relevance_score" not in document.metadata for document in found)
    assert found[0].metadata["source"] == "a.txt"
    assert documents[1].metadata["relevance_score"] == 0.99
    [(_, data, _)] = recorder.events
    assert data["failure"] == "RemoteError: http://h/rank answered 503: overloaded"
    assert data["n_returned"] == 3
    assert isinstance(meter.failure, RemoteError)


@both
async def test_otherwise_there_is_no_failure(
    words: Any, documents: list[Document], recorder: Any, way: str
) -> None:
    rerank = RagRerank(model=words, on_failure="keep_order")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await call(rerank, way, documents, "red", callbacks=[recorder])
    [(_, data, _)] = recorder.events
    assert data["failure"] is None


@both
async def test_by_default_the_error_is_raised(
    documents: list[Document], recorder: Any, way: str
) -> None:
    with pytest.raises(RemoteError, match="overloaded"):
        await call(RagRerank(model=Down()), way, documents, "q", callbacks=[recorder])
    assert recorder.events == []


@pytest.mark.parametrize(
    "settings",
    [
        {"model": Down(), "on_failure": "keep_order"},
        {"model": "any", "on_failure": "keep_order"},
        {"model": Reranker(Down(), on_failure="keep_order")},
    ],
)
def test_a_cross_encoder_cannot_leave_scores_out(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="use RagRerank"):
        RagCrossEncoder(**settings)


def test_a_key_is_in_no_repr_no_dump_and_no_error() -> None:
    rerank = RagRerank(model="http://me:hunter2@h", timeout=5)
    assert "hunter2" not in repr(rerank)
    assert "hunter2" not in str(rerank)
    rerank = RagRerank(model="http://h", api_key="hunter2")
    assert "hunter2" not in repr(rerank)
    assert "hunter2" not in rerank.model_dump_json()
    assert pickle.loads(pickle.dumps(rerank)).api_key == "hunter2"
    for wrong in ({"top_n": -1}, {"device": 3}, {"unknown": 1}, {"timeout": -1}):
        with pytest.raises((ValueError, TypeError)) as caught:
            RagRerank(model="http://h", api_key="hunter2", **wrong)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)
    for key in ("hunter2\n", 2):
        with pytest.raises((ValueError, TypeError), match="api_key") as caught:
            RagRerank(model="http://h", api_key=key)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)
