"""Ingestion that fills the store which the reranker reads from."""

from __future__ import annotations

import pytest
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, MetadataMode, NodeWithScore, TextNode

from llama_index.postprocessor.rag_rerankers import RagRerank, RagWarm
from rag_rerankers import TokenStore
from rag_rerankers.metering import metered

NODES = [
    TextNode(text="the giant panda", metadata={"title": "animals"}),
    TextNode(text="a bear", metadata={"title": "animals"}),
]


@pytest.fixture
def rerank(tmp_path):
    return RagRerank(model="minilm-maxsim", store=tmp_path / "tokens", dtype="float32")


@pytest.mark.parametrize("mode", [MetadataMode.EMBED, MetadataMode.NONE])
def test_nodes_pass_as_they_are_and_are_not_encoded_again(rerank, mode):
    rerank.metadata_mode = mode
    assert RagWarm(rerank=rerank)(NODES) is NODES
    with metered() as used:
        found = rerank.postprocess_nodes([NodeWithScore(node=n) for n in NODES], query_str="panda?")
    assert used.tokens < 8, "the query alone"
    assert found[0].node.text == "the giant panda"


async def test_the_same_for_asyncio(rerank, tmp_path):
    assert await RagWarm(rerank=rerank).acall(NODES) is NODES
    assert TokenStore(tmp_path / "tokens").info().entries == 2


def test_it_is_a_step_of_a_pipeline(rerank, tmp_path):
    steps = [SentenceSplitter(chunk_size=40, chunk_overlap=0), RagWarm(rerank=rerank)]
    pipeline = IngestionPipeline(transformations=steps)
    nodes = pipeline.run(documents=[Document(text="The panda eats. " * 40)])
    assert len(nodes) > 3
    entries = TokenStore(tmp_path / "tokens").info().entries
    assert entries == len({n.get_content(metadata_mode=MetadataMode.EMBED) for n in nodes})


def test_a_reranker_without_a_store_is_refused():
    with pytest.raises(ValueError, match="no store to warm"):
        RagWarm(rerank=RagRerank(model="minilm-maxsim"))(NODES)


def test_nothing_is_loaded_for_no_nodes(tmp_path):
    rerank = RagRerank(model=str(tmp_path / "no-model"), store=tmp_path / "tokens")
    assert RagWarm(rerank=rerank)([]) == []


def test_the_store_travels_as_its_path(rerank, tmp_path):
    again = RagRerank.from_dict(rerank.to_dict())
    assert again.store == str(tmp_path / "tokens")
    own = RagRerank(model="minilm-maxsim", store=TokenStore(tmp_path, compression="float16"))
    with pytest.raises(Exception, match="cannot be written as text"):
        own.to_dict()
