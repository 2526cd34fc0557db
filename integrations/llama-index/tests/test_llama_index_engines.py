"""Inside LlamaIndex's own engines, sync and async; MockLLM answers with its prompt."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from llama_index.postprocessor.rag_rerankers import RagRerank

QUERY = "red green blue"
BEST_FIRST = ["red green blue dog", "green blue cow", "red cat"]

both = pytest.mark.parametrize("asynchronous", [False, True])


class Fixed(BaseRetriever):
    def __init__(self, nodes: list[NodeWithScore]) -> None:
        super().__init__()
        self.nodes = nodes

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self.nodes


def assert_in_order(answer: str, texts: list[str]) -> None:
    places = [answer.find(text) for text in texts]
    assert -1 not in places
    assert places == sorted(places)


@both
async def test_query_engine(
    overlap: Any, nodes: list[NodeWithScore], event_log: Any, asynchronous: bool
) -> None:
    engine = RetrieverQueryEngine.from_args(
        Fixed(nodes),
        llm=MockLLM(),
        node_postprocessors=[RagRerank(model=overlap, top_n=3, keep_retrieval_score=True)],
    )
    response = await engine.aquery(QUERY) if asynchronous else engine.query(QUERY)
    assert [hit.text for hit in response.source_nodes] == BEST_FIRST
    assert_in_order(str(response), BEST_FIRST)
    assert "fish" not in str(response)
    assert "retrieval_score" not in str(response)
    assert [n.score for n in nodes] == pytest.approx([0.5, 0.4, 0.3, 0.2])
    assert len(event_log.events) == 2


@both
async def test_context_chat_engine(
    overlap: Any, nodes: list[NodeWithScore], asynchronous: bool
) -> None:
    engine = ContextChatEngine.from_defaults(
        retriever=Fixed(nodes),
        llm=MockLLM(),
        memory=ChatMemoryBuffer.from_defaults(token_limit=3000),
        node_postprocessors=[RagRerank(model=overlap, top_n=3)],
    )
    response = await engine.achat(QUERY) if asynchronous else engine.chat(QUERY)
    assert [hit.text for hit in response.source_nodes] == BEST_FIRST
    assert_in_order(str(response), BEST_FIRST)
    assert "fish" not in str(response)


@both
async def test_condense_plus_context_chat_engine(
    overlap: Any, nodes: list[NodeWithScore], asynchronous: bool
) -> None:
    engine = CondensePlusContextChatEngine.from_defaults(
        retriever=Fixed(nodes),
        llm=MockLLM(),
        memory=ChatMemoryBuffer.from_defaults(token_limit=3000),
        node_postprocessors=[RagRerank(model=overlap, top_n=3)],
    )
    response = await engine.achat(QUERY) if asynchronous else engine.chat(QUERY)
    assert [hit.text for hit in response.source_nodes] == BEST_FIRST
    assert_in_order(str(response), BEST_FIRST)


@both
async def test_fusion_retriever_and_two_rerankers_in_a_row(
    overlap: Any, nodes: list[NodeWithScore], asynchronous: bool
) -> None:
    fusion = QueryFusionRetriever(
        [Fixed(nodes[:2]), Fixed(nodes[2:])],
        llm=MockLLM(),
        num_queries=1,
        similarity_top_k=4,
        use_async=False,
    )
    first = RagRerank(model=overlap, top_n=3, keep_retrieval_score=True)
    second = RagRerank(model=overlap, top_n=1)
    engine = RetrieverQueryEngine.from_args(
        fusion, llm=MockLLM(), node_postprocessors=[first, second]
    )
    bundle = QueryBundle(QUERY)
    hits = await engine.aretrieve(bundle) if asynchronous else engine.retrieve(bundle)
    assert [hit.text for hit in hits] == BEST_FIRST[:1]
    # The second reads what the first read: the retrieval score is not part of the text.
    assert overlap.calls[1][1] == BEST_FIRST


@both
async def test_end_to_end_with_the_real_model(asynchronous: bool) -> None:
    texts = [
        "The Suez Canal connects the Mediterranean Sea to the Red Sea.",
        "Bread rises because yeast turns sugar into carbon dioxide.",
        "The giant panda lives in the mountains of China and eats bamboo.",
        "A violin has four strings tuned in perfect fifths.",
    ]
    index = VectorStoreIndex(
        [TextNode(text=text) for text in texts], embed_model=MockEmbedding(embed_dim=8)
    )
    engine = index.as_query_engine(
        llm=MockLLM(),
        similarity_top_k=4,
        node_postprocessors=[RagRerank(model="minilm-maxsim", device="cpu", top_n=2)],
    )
    for query, best in {
        "Which animal feeds on bamboo?": 2,
        "What makes dough rise?": 1,
        "How many strings are there on a violin?": 3,
    }.items():
        response = await engine.aquery(query) if asynchronous else engine.query(query)
        assert len(response.source_nodes) == 2
        assert response.source_nodes[0].text == texts[best]
        assert_in_order(str(response), [hit.text for hit in response.source_nodes])
        first, second = (hit.get_score(raise_error=True) for hit in response.source_nodes)
        assert 1.0 >= first > second >= 0.0
