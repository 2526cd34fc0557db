from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from rag_rerankers import Reranker

from langchain_rag_rerankers import RagRerank

QUERY = "red green blue"
# The logistic function of 3, 2, 1 and 0, by a calculator: a scorer without a scale returns logits.
RELEVANCE = {"three": 0.952574127, "two": 0.880797078, "one": 0.731058579, "zero": 0.5}


def ids(documents: Any) -> list[str | None]:
    return [document.id for document in documents]


def test_best_first_with_scores_and_former_ranks(words: Any, documents: list[Document]) -> None:
    result = RagRerank(model=words).compress_documents(documents, QUERY)

    assert ids(result) == ["three", "two", "one", "zero"]
    assert [d.metadata["retrieval_rank"] for d in result] == [1, 3, 0, 2]
    for document in result:
        score = document.metadata["relevance_score"]
        assert type(score) is float
        assert score == pytest.approx(RELEVANCE[str(document.id)], abs=1e-9)


def test_raw_scores(words: Any, documents: list[Document]) -> None:
    result = RagRerank(model=words, scores="raw").compress_documents(documents, QUERY)

    assert [d.metadata["relevance_score"] for d in result] == [3.0, 2.0, 1.0, 0.0]
    assert all(type(d.metadata["relevance_score"]) is float for d in result)


@pytest.mark.parametrize(
    ("top_n", "threshold", "expected"),
    [
        (2, None, ["three", "two"]),
        (None, None, ["three", "two", "one", "zero"]),
        (0, None, []),
        (100, None, ["three", "two", "one", "zero"]),
        (None, 0.8, ["three", "two"]),
        (1, 0.8, ["three"]),
        (None, 1.0, []),
    ],
)
@pytest.mark.parametrize("scores", ["relevance", "raw"])
def test_top_n_and_threshold(
    words: Any,
    documents: list[Document],
    top_n: int | None,
    threshold: float | None,
    expected: list[str],
    scores: Any,
) -> None:
    rerank = RagRerank(model=words, top_n=top_n, threshold=threshold, scores=scores)
    assert ids(rerank.compress_documents(documents, QUERY)) == expected


def test_five_documents_by_default(words: Any) -> None:
    documents = [Document(f"text {i}") for i in range(9)]
    result = RagRerank(model=words).compress_documents(documents, "text")
    # All tie: the order of retrieval stays.
    assert [d.page_content for d in result] == [f"text {i}" for i in range(5)]


def test_input_is_never_changed(words: Any, documents: list[Document]) -> None:
    before = copy.deepcopy(documents)
    result = RagRerank(model=words).compress_documents(documents, QUERY)
    assert documents == before

    for document in result:
        document.metadata["source"] = "changed"
        document.metadata["new"] = True
        document.page_content = "changed"
    assert documents == before


def test_metadata_is_kept_and_stale_entries_lose(words: Any) -> None:
    document = Document(
        "red", metadata={"source": "a", "relevance_score": 99, "retrieval_rank": 99, "n": [1]}
    )
    [result] = RagRerank(model=words, scores="raw").compress_documents([document], "red")
    assert result.metadata == {
        "source": "a",
        "n": [1],
        "relevance_score": 1.0,
        "retrieval_rank": 0,
    }
    assert document.metadata["relevance_score"] == 99


def test_subclass_with_its_fields_is_kept(words: Any) -> None:
    class Page(Document):
        number: int

    page = Page(page_content="red", number=7, id="p")
    [result] = RagRerank(model=words).compress_documents([page], "red")
    assert type(result) is Page
    assert (result.number, result.id, result.type) == (7, "p", "Document")


def test_one_document_given_twice_gives_two_copies(words: Any) -> None:
    document = Document("red")
    first, second = RagRerank(model=words).compress_documents([document, document], "red")
    assert first.metadata is not second.metadata
    assert [first.metadata["retrieval_rank"], second.metadata["retrieval_rank"]] == [0, 1]


async def test_empty_input_loads_nothing(loads: Any) -> None:
    rerank = RagRerank(model="any-model")
    assert rerank.compress_documents([], "red") == []
    assert await rerank.acompress_documents([], "red") == []
    assert loads.calls == []


@pytest.mark.parametrize("given", [[], [Document("red")]])
async def test_missing_query(words: Any, given: list[Document]) -> None:
    rerank = RagRerank(model=words)
    with pytest.raises(ValueError, match=r"query is missing \(None\)"):
        rerank.compress_documents(given, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"query is missing \(None\)"):
        await rerank.acompress_documents(given, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "document 1 is not a Document but NoneType: None"),
        ("plain text", "document 1 is not a Document but str: 'plain text'"),
        (
            Document.model_construct(page_content=None, metadata={}),
            "the page_content of document 1 is not a string but NoneType: None",
        ),
        (
            Document.model_construct(page_content=12, metadata={}),
            "the page_content of document 1 is not a string but int: 12",
        ),
    ],
)
async def test_bad_document_is_named(loads: Any, bad: Any, message: str) -> None:
    rerank = RagRerank(model="any-model")
    with pytest.raises(TypeError) as caught:
        rerank.compress_documents([Document("fine"), bad], "red")
    assert message in str(caught.value)
    with pytest.raises(TypeError) as caught:
        await rerank.acompress_documents([Document("fine"), bad], "red")
    assert message in str(caught.value)
    assert loads.calls == []


@pytest.mark.parametrize("bad", [None, 7])
def test_documents_that_are_no_list(words: Any, bad: Any) -> None:
    with pytest.raises(TypeError, match=f"documents must be a list of Document, not {bad}"):
        RagRerank(model=words).compress_documents(bad, "red")


def test_a_ready_reranker_is_used_as_it_is(words: Any, documents: list[Document]) -> None:
    class Spy(Reranker):
        calls = 0

        def rank(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return super().rank(*args, **kwargs)

    reranker = Spy(words)
    rerank = RagRerank(model=reranker)
    assert rerank.model is reranker
    rerank.compress_documents(documents, QUERY)
    assert reranker.calls == 1


async def test_a_cascade_is_a_ready_reranker(words: Any, documents: list[Document]) -> None:
    class Shortest:
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            return [-float(len(text)) for text in texts]

    # The two with most of the words are read by the second scorer, which likes the shorter one.
    rerank = RagRerank(model=Reranker.cascade([words, Shortest()], keep=2), scores="raw")
    result = rerank.compress_documents(documents, QUERY)
    assert ids(result) == ["two", "three", "one", "zero"]
    scores = [document.metadata["relevance_score"] for document in result]
    assert scores[:2] == [-len("green blue"), -len("blue green red paint")]
    assert scores == sorted(scores, reverse=True)
    assert await rerank.acompress_documents(documents, QUERY) == result
