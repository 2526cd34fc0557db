from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import Document

from langchain_rag_rerankers import RagCrossEncoder

PAIRS = [
    ("red green", "red"),
    ("blue", "blue sky"),
    ("red green", "green red"),
    ("blue", "none"),
    ("red green", "none"),
    ("red green", "red"),
]


class CountingScorer:
    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        self.calls.append((query, list(texts)))
        words = set(query.split())
        return [float(len(words & set(text.split()))) for text in texts]


def test_one_batch_per_query_and_the_order_of_the_pairs() -> None:
    scorer = CountingScorer()
    scores = RagCrossEncoder(model=scorer, scores="raw").score(PAIRS)
    assert scores == [1.0, 1.0, 2.0, 0.0, 0.0, 1.0]
    assert all(type(score) is float for score in scores)
    assert scorer.calls == [
        ("red green", ["red", "green red", "none", "red"]),
        ("blue", ["blue sky", "none"]),
    ]


def test_relevance_by_default(words: Any) -> None:
    # The logistic function of the raw scores 1, 1, 2, 0, 0 and 1, by a calculator.
    expected = [0.731058579, 0.731058579, 0.880797078, 0.5, 0.5, 0.731058579]
    assert RagCrossEncoder(model=words).score(PAIRS) == pytest.approx(expected, abs=1e-9)


def test_empty_input_loads_nothing(loads: Any) -> None:
    assert RagCrossEncoder(model="some-model").score([]) == []
    assert loads.calls == []


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (("red",), TypeError, r"pair 1 must be \(query, text\), not \('red',\)"),
        ("ab", TypeError, r"pair 1 must be \(query, text\), not 'ab'"),
        (None, TypeError, r"pair 1 must be \(query, text\), not None"),
        ((None, "red"), ValueError, r"pair 1: the query is missing \(None\)"),
        ((5, "red"), TypeError, "pair 1: the query must be a string, not int: 5"),
        (("red", None), TypeError, "pair 1: the text is not a string but None"),
    ],
)
def test_bad_pair_is_named(loads: Any, bad: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        RagCrossEncoder(model="some-model").score([("red", "red"), bad])
    assert loads.calls == []


@pytest.mark.parametrize("scores", ["relevance", "raw"])
async def test_in_langchains_own_reranker(
    words: Any, documents: list[Document], retriever: Any, scores: Any
) -> None:
    encoder = RagCrossEncoder(model=words, scores=scores)
    assert isinstance(encoder, BaseCrossEncoder)
    reranker = CrossEncoderReranker(model=encoder, top_n=3)
    result = reranker.compress_documents(documents, "red green blue")
    assert [d.id for d in result] == ["three", "two", "one"]

    compression = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=retriever)
    assert [d.id for d in compression.invoke("red green blue")] == ["three", "two", "one"]
    assert [d.id for d in await compression.ainvoke("red green blue")] == ["three", "two", "one"]
