"""What comes out for what goes in."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.schema import (
    ImageNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)

from llama_index.postprocessor.rag_rerankers import RagRerank
from rag_rerankers import Reranker, ScoreError, TruncationWarning

QUERY = "red green blue"


def ids(hits: list[NodeWithScore]) -> list[str]:
    return [hit.node_id for hit in hits]


def test_orders_by_score_and_cuts_to_top_n(overlap: Any, nodes: list[NodeWithScore]) -> None:
    hits = RagRerank(model=overlap, top_n=3).postprocess_nodes(nodes, query_str=QUERY)
    assert ids(hits) == ["n1", "n3", "n0"]


def test_ties_keep_the_retrieval_order(overlap: Any, make_nodes: Any) -> None:
    hits = RagRerank(model=overlap).postprocess_nodes(
        make_nodes("x", "red a", "red b", "y"), query_str="red"
    )
    assert ids(hits) == ["n1", "n2", "n0", "n3"]


def test_top_n_none_keeps_all_and_zero_none(overlap: Any, make_nodes: Any) -> None:
    many = make_nodes(*(f"text {i}" for i in range(9)))
    assert len(RagRerank(model=overlap, top_n=None).postprocess_nodes(many, query_str="x")) == 9
    assert len(RagRerank(model=overlap).postprocess_nodes(many, query_str="x")) == 5
    assert RagRerank(model=overlap, top_n=0).postprocess_nodes(many, query_str="x") == []


def test_score_is_relevance_or_raw(overlap: Any, nodes: list[NodeWithScore]) -> None:
    # A scorer without calibration is read as logits: sigmoid(3), sigmoid(2), sigmoid(1), sigmoid(0)
    hits = RagRerank(model=overlap).postprocess_nodes(nodes, query_str=QUERY)
    assert [hit.score for hit in hits] == pytest.approx(
        [0.9525741268, 0.8807970780, 0.7310585786, 0.5]
    )
    raw = RagRerank(model=overlap, scores="raw").postprocess_nodes(nodes, query_str=QUERY)
    assert [hit.score for hit in raw] == [3.0, 2.0, 1.0, 0.0]
    assert {type(hit.score) for hit in hits + raw} == {float}


def test_numpy_scores_become_python_floats(nodes: list[NodeWithScore]) -> None:
    numpy = pytest.importorskip("numpy")

    class Numpy:
        def score(self, query: str, texts: Sequence[str]) -> Any:
            return numpy.arange(len(texts), dtype=numpy.float32)

    for scores in ("raw", "relevance"):
        hits = RagRerank(model=Numpy(), scores=scores).postprocess_nodes(nodes, query_str=QUERY)
        assert {type(hit.score) for hit in hits} == {float}


def test_threshold_is_on_relevance_also_for_raw_scores(
    overlap: Any, nodes: list[NodeWithScore]
) -> None:
    rerank = RagRerank(model=overlap, scores="raw", threshold=0.8)
    assert ids(rerank.postprocess_nodes(nodes, query_str=QUERY)) == ["n1", "n3"]


def test_the_query_is_the_bundles_query_str(overlap: Any, nodes: list[NodeWithScore]) -> None:
    bundle = QueryBundle("red", custom_embedding_strs=["something else"])
    RagRerank(model=overlap).postprocess_nodes(nodes, bundle)
    assert [query for query, _ in overlap.calls] == ["red"]


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (MetadataMode.NONE, "body"),
        (MetadataMode.EMBED, "title: T\n\nbody"),
        (MetadataMode.LLM, "page: 7\n\nbody"),
        (MetadataMode.ALL, "title: T\npage: 7\n\nbody"),
        ("all", "title: T\npage: 7\n\nbody"),
        (None, "title: T\n\nbody"),
    ],
)
def test_metadata_mode_selects_the_text(overlap: Any, mode: Any, text: str) -> None:
    node = TextNode(
        text="body",
        metadata={"title": "T", "page": 7},
        excluded_embed_metadata_keys=["page"],
        excluded_llm_metadata_keys=["title"],
    )
    fields = {} if mode is None else {"metadata_mode": mode}
    RagRerank(model=overlap, **fields).postprocess_nodes([NodeWithScore(node=node)], query_str="q")
    assert overlap.calls == [("q", [text])]


@pytest.mark.parametrize("keep", [False, True])
def test_incoming_nodes_are_never_changed(
    overlap: Any, nodes: list[NodeWithScore], keep: bool
) -> None:
    before = copy.deepcopy(nodes)
    wrappers = list(nodes)
    hits = RagRerank(model=overlap, keep_retrieval_score=keep).postprocess_nodes(
        nodes, query_str=QUERY
    )
    assert nodes == before
    assert all(now is then for now, then in zip(nodes, wrappers, strict=True))
    assert not {id(hit) for hit in hits} & {id(node) for node in nodes}
    shared = {id(hit.node) for hit in hits} & {id(node.node) for node in nodes}
    assert len(shared) == (0 if keep else 4)


def test_keep_retrieval_score_writes_score_and_rank(
    overlap: Any, nodes: list[NodeWithScore]
) -> None:
    nodes[0].score = None
    nodes[1].node.metadata["source"] = "kept"
    rerank = RagRerank(model=overlap, keep_retrieval_score=True, metadata_mode=MetadataMode.NONE)
    hits = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [hit.metadata for hit in hits] == [
        {"source": "kept", "retrieval_score": 0.4, "retrieval_rank": 1},
        {"retrieval_score": 0.2, "retrieval_rank": 3},
        {"retrieval_score": None, "retrieval_rank": 0},
        {"retrieval_score": 0.3, "retrieval_rank": 2},
    ]
    assert type(hits[0].node) is TextNode
    plain = RagRerank(model=overlap).postprocess_nodes(nodes, query_str=QUERY)
    assert not any("retrieval_score" in hit.metadata for hit in plain)


@pytest.mark.parametrize("mode", list(MetadataMode))
def test_retrieval_keys_do_not_leak(
    overlap: Any, nodes: list[NodeWithScore], mode: MetadataMode
) -> None:
    rerank = RagRerank(model=overlap, keep_retrieval_score=True, metadata_mode=mode)
    nodes[1].node.metadata["title"] = "T"
    first = rerank.postprocess_nodes(nodes, query_str=QUERY)
    second = rerank.postprocess_nodes(first, query_str=QUERY)
    assert sorted(overlap.calls[1][1]) == sorted(overlap.calls[0][1])
    # Overwritten: they tell how the node came into the second one.
    assert [hit.metadata["retrieval_rank"] for hit in second] == [0, 1, 2, 3]
    assert second[0].metadata["retrieval_score"] == first[0].score
    assert second[0].node.excluded_llm_metadata_keys == ["retrieval_score", "retrieval_rank"]
    for hit in second:
        for shown in (MetadataMode.EMBED, MetadataMode.LLM):
            assert "retrieval" not in hit.get_content(metadata_mode=shown)


def test_a_users_own_key_of_the_same_name_is_scored(overlap: Any) -> None:
    node = TextNode(text="body", metadata={"retrieval_score": "mine", "retrieval_rank": "too"})
    RagRerank(model=overlap, metadata_mode=MetadataMode.ALL).postprocess_nodes(
        [NodeWithScore(node=node)], query_str="q"
    )
    assert overlap.calls[0][1] == ["retrieval_score: mine\nretrieval_rank: too\n\nbody"]


def test_empty_input_gives_empty_output_without_loading() -> None:
    assert RagRerank(model="no/such-model").postprocess_nodes([], query_str="q") == []


@pytest.mark.parametrize("bundle", [None, QueryBundle(None)])  # type: ignore[arg-type]
def test_a_missing_query_is_a_value_error(
    overlap: Any, nodes: list[NodeWithScore], bundle: QueryBundle | None
) -> None:
    for given in (nodes, []):
        with pytest.raises(ValueError, match=r"query is missing \(None\)"):
            RagRerank(model=overlap).postprocess_nodes(given, bundle)
    assert overlap.calls == []


def test_a_string_in_the_place_of_the_bundle_is_a_type_error(
    overlap: Any, nodes: list[NodeWithScore]
) -> None:
    with pytest.raises(TypeError, match=r"'what\?'.*query_str="):
        RagRerank(model=overlap).postprocess_nodes(nodes, "what?")  # type: ignore[arg-type]


class NoText(TextNode):
    def get_content(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> str:
        return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (None, "node 2 is not a NodeWithScore but NoneType"),
        ("words", "node 2 is not a NodeWithScore but str: 'words'"),
        (TextNode(text="bare"), r"node 2 is not a NodeWithScore but TextNode.*Wrap it"),
        (NodeWithScore(node=NoText(text="x")), "content of node 2 is not text but NoneType"),
        (
            NodeWithScore(node=TextNode.model_construct(text=None, metadata={"a": 1})),
            "content of node 2 is not text but NoneType",
        ),
        (
            NodeWithScore(node=TextNode.model_construct(text=b"bytes", metadata={})),
            "content of node 2 is not text but bytes: b'bytes'",
        ),
        (NodeWithScore.model_construct(node=None), "content of node 2 is not text but NoneType"),
    ],
)
def test_one_bad_node_is_a_type_error_with_its_index(
    overlap: Any, make_nodes: Any, bad: Any, match: str
) -> None:
    nodes = [*make_nodes("a", "b"), bad, *make_nodes("c")]
    with pytest.raises(TypeError, match=match):
        RagRerank(model=overlap).postprocess_nodes(nodes, query_str="q")
    assert overlap.calls == []


@pytest.mark.parametrize("nodes", [None, 5, "text"])
def test_nodes_that_are_no_list(overlap: Any, nodes: Any) -> None:
    with pytest.raises(TypeError, match="nodes must be a list of NodeWithScore, not"):
        RagRerank(model=overlap).postprocess_nodes(nodes, query_str="q")


def test_nodes_without_text_count_as_empty_text(overlap: Any) -> None:
    nodes = [
        NodeWithScore(node=ImageNode(image_path="cat.png")),
        NodeWithScore(node=Node(image_resource=MediaResource(data=b"x"))),
        NodeWithScore(node=Node(text_resource=MediaResource(text="resource"))),
        NodeWithScore(node=TextNode(text="")),
    ]
    hits = RagRerank(model=overlap).postprocess_nodes(nodes, query_str="resource")
    assert overlap.calls[0][1] == ["", "", "resource", ""]
    assert hits[0].node is nodes[2].node


def test_scorer_errors_pass_through(nodes: list[NodeWithScore], broken: Any) -> None:
    with pytest.raises(RuntimeError, match="fell over"):
        RagRerank(model=broken).postprocess_nodes(nodes, query_str="q")

    class NaN:
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            return [float("nan"), *[0.0] * (len(texts) - 1)]

    with pytest.raises(ScoreError, match="indices 0"):
        RagRerank(model=NaN()).postprocess_nodes(nodes, query_str="q")


def test_a_ready_reranker_is_used_as_it_is(overlap: Any, nodes: list[NodeWithScore]) -> None:
    ready = Reranker(overlap)
    rerank = RagRerank(model=ready)
    assert rerank.model is ready
    assert ids(rerank.postprocess_nodes(nodes, query_str=QUERY)) == ["n1", "n3", "n0", "n2"]
    assert len(overlap.calls) == 1


async def test_a_cascade_is_a_ready_reranker(overlap: Any, nodes: list[NodeWithScore]) -> None:
    class Shortest:
        def score(self, query: str, texts: Sequence[str]) -> list[float]:
            return [-float(len(text)) for text in texts]

    # The two with most of the words are read by the second scorer, which likes the shorter one.
    rerank = RagRerank(model=Reranker.cascade([overlap, Shortest()], keep=2), scores="raw")
    hits = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert ids(hits) == ["n3", "n1", "n0", "n2"]
    scores = [hit.score or 0.0 for hit in hits]
    assert scores[:2] == [-len("green blue cow"), -len("red green blue dog")]
    assert scores == sorted(scores, reverse=True)
    assert await rerank.apostprocess_nodes(nodes, query_str=QUERY) == hits


def test_odd_texts_with_the_real_model(make_nodes: Any) -> None:
    odd = make_nodes("", "\ud800 lone", "a " * 500_000, "\x00\u202e\U0001f43c", "panda bear")
    with pytest.warns(TruncationWarning):
        hits = RagRerank(device="cpu").postprocess_nodes(odd, query_str="\udfff what is a panda?")
    assert sorted(ids(hits)) == ["n0", "n1", "n2", "n3", "n4"]
    assert hits[0].node_id == "n4"
    assert all(0.0 <= hit.score <= 1.0 for hit in hits if hit.score is not None)


def test_many_threads_share_one_instance_and_one_load(
    no_shared_models: None, monkeypatch: pytest.MonkeyPatch, nodes: list[NodeWithScore]
) -> None:
    import rag_rerankers.sharing

    made: list[Any] = []

    class Counted(Reranker):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(args)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(rag_rerankers.sharing, "Reranker", Counted)
    rerank = RagRerank(device="cpu")
    other = RagRerank(device="cpu", top_n=1)
    barrier = threading.Barrier(8)
    results: list[list[str]] = []

    def work(one: RagRerank) -> None:
        barrier.wait()
        results.append(ids(one.postprocess_nodes(nodes, query_str="a fish"))[:1])

    threads = [threading.Thread(target=work, args=(r,)) for r in [rerank, other] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["n2"]] * 8
    assert made == [("minilm-maxsim",)]
