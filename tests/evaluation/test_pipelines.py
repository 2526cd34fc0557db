from __future__ import annotations

from typing import Any

import pytest

from rag_rerankers import DataError, Reranker
from rag_rerankers.evaluation import Collection, evaluate_retriever

documents = pytest.importorskip("langchain_core.documents", reason="needs LangChain")
retrievers = pytest.importorskip("langchain_core.retrievers", reason="needs LangChain")
classic = pytest.importorskip("langchain_classic.retrievers", reason="needs LangChain")
schema = pytest.importorskip("llama_index.core.schema", reason="needs LlamaIndex")
base = pytest.importorskip("llama_index.core.base.base_retriever", reason="needs LlamaIndex")

DATA = Collection(
    name="zoo",
    documents={
        "bear": "Bears\nThe giant panda is a bear.",
        "rust": "Rust is a language.",
        "food": "Pandas eat bamboo.",
    },
    queries={"what": "what is a panda?", "eats": "what do pandas eat?"},
    qrels={"what": {"bear": 1}, "eats": {"food": 1}},
)
# The retriever puts the answer last, or second.
FOUND = {"what is a panda?": ["rust", "food", "bear"], "what do pandas eat?": ["rust", "food"]}
BEFORE = {"what": 1 / 3, "eats": 1 / 2}


class Judge:
    """Scores by what is known to be relevant."""

    def score(self, query: str, texts: list[str]) -> list[float]:
        wanted = "bear" if "panda?" in query else "bamboo"
        return [float(wanted in text) for text in texts]


def document(name: str, **changes: Any) -> Any:
    keywords = {"page_content": DATA.documents[name], "id": name, **changes}
    return documents.Document(**keywords)


class ChainRetriever(retrievers.BaseRetriever):
    make: Any = document

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
        return [self.make(name) for name in FOUND[query]]


class IndexRetriever(base.BaseRetriever):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def _retrieve(self, query_bundle: Any) -> list[Any]:
        nodes = [self.make(name) for name in FOUND[query_bundle.query_str]]
        return [
            schema.NodeWithScore(node=node, score=1 / rank) for rank, node in enumerate(nodes, 1)
        ]


def node(name: str, **changes: Any) -> Any:
    return schema.TextNode(**{"text": DATA.documents[name], "id_": name, **changes})


def values(evaluation: Any, system: int = 0) -> Any:
    return evaluation.systems[system].values["MRR@10"]


def test_a_langchain_retriever_alone_is_measured_without_a_reranker():
    found = evaluate_retriever(ChainRetriever(), DATA)
    assert [system.name for system in found.systems] == ["retriever"]
    assert values(found) == pytest.approx(BEFORE)
    assert found.top_k == 3


def compressor() -> Any:
    adapter = pytest.importorskip("langchain_rag_rerankers")
    return adapter.RagRerank(model=Reranker(Judge()), top_n=2)


def postprocessor() -> Any:
    adapter = pytest.importorskip("llama_index.postprocessor.rag_rerankers")
    return adapter.RagRerank(model=Reranker(Judge()), top_n=2)


@pytest.mark.parametrize(
    "pipeline",
    [
        lambda: (ChainRetriever(), {"reranker": Reranker(Judge())}),
        lambda: (ChainRetriever(), {"reranker": compressor()}),
        lambda: (
            classic.ContextualCompressionRetriever(
                base_compressor=compressor(), base_retriever=ChainRetriever()
            ),
            {},
        ),
        lambda: (IndexRetriever(node), {"reranker": Reranker(Judge())}),
        lambda: (IndexRetriever(node), {"postprocessors": [postprocessor()]}),
        lambda: (query_engine(), {}),
    ],
    ids=["plain", "compressor", "compression retriever", "index", "postprocessor", "query engine"],
)
def test_every_pipeline_is_measured_with_and_without_its_reranker(pipeline):
    retriever, keywords = pipeline()
    found = evaluate_retriever(retriever, DATA, **keywords)
    assert [system.name for system in found.systems] == ["retriever", "with reranker"]
    assert values(found) == pytest.approx(BEFORE)
    assert values(found, 1) == {"what": 1.0, "eats": 1.0}
    assert found.difference("MRR@10", "with reranker").wins == 2
    assert found.models[0].cost is not None
    assert found.models[0].cost.query.calls == 2


def query_engine() -> Any:
    engines = pytest.importorskip("llama_index.core.query_engine")
    mock = pytest.importorskip("llama_index.core.llms.mock")
    return engines.RetrieverQueryEngine.from_args(
        IndexRetriever(node), llm=mock.MockLLM(), node_postprocessors=[postprocessor()]
    )


def test_postprocessors_run_in_their_order():
    order = []

    class Note:
        def __init__(self, name: str) -> None:
            self.name = name

        def postprocess_nodes(self, nodes: Any, query_str: str) -> Any:
            order.append(self.name)
            return nodes[::-1]

    found = evaluate_retriever(
        IndexRetriever(node), DATA, postprocessors=[Note("first"), Note("second")]
    )
    assert order == ["first", "second"] * 2
    assert values(found, 1) == pytest.approx(BEFORE)  # reversed twice


@pytest.mark.parametrize(
    "changes",
    [
        lambda name: {"id": "uuid", "metadata": {"_id": name}},
        lambda name: {"id": None, "metadata": {"doc_id": name}},
        lambda name: {"id": None, "metadata": {"source": name}},
        lambda name: {"id": None},  # by its text
        lambda name: {"id": "x", "page_content": DATA.documents[name].replace("\n", "  ")},
        lambda name: {"id": "x", "page_content": DATA.documents[name].split("\n")[-1]},
    ],
    ids=["_id", "doc_id", "source", "text", "white space", "without its title"],
)
def test_documents_are_recognised_by_id_or_text(changes):
    retriever = ChainRetriever(make=lambda name: document(name, **changes(name)))
    assert values(evaluate_retriever(retriever, DATA)) == pytest.approx(BEFORE)


def test_a_node_is_recognised_by_its_source_document():
    link = schema.NodeRelationship.SOURCE

    def part(name: str) -> Any:
        related = {link: schema.RelatedNodeInfo(node_id=name)}
        return node(name, id_=f"part of {name}", text=name * 3, relationships=related)

    assert values(evaluate_retriever(IndexRetriever(part), DATA)) == pytest.approx(BEFORE)


def test_a_rule_of_the_users_own_comes_first():
    retriever = ChainRetriever(make=lambda name: document(name, id=f"chunk-of-{name}"))
    found = evaluate_retriever(
        retriever, DATA, document_id=lambda one: one.id.removeprefix("chunk-of-")
    )
    assert values(found) == pytest.approx(BEFORE)


def test_parts_of_one_document_count_once_at_their_best_place():
    class Parts(ChainRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
            names = ["rust", "rust", "rust", "bear", "bear"]
            return [document(name) for name in names]

    found = evaluate_retriever(Parts(), DATA)
    assert found.first.run.rankings["what"] == ["rust", "bear"]
    assert values(found)["what"] == 0.5


def test_strangers_keep_their_places():
    def make(name: str) -> Any:
        return document(name) if name == "bear" else document(name, id="?", page_content=name * 9)

    found = evaluate_retriever(ChainRetriever(make=make), DATA)
    assert values(found) == pytest.approx({"what": 1 / 3, "eats": 0.0})


def test_nothing_recognised_is_an_error_that_shows_what_was_found():
    retriever = ChainRetriever(make=lambda name: document(name, id="7f3a", page_content="other"))
    with pytest.raises(DataError, match=r"zoo.*'7f3a'.*'other'.*document_id="):
        evaluate_retriever(retriever, DATA)


def test_nothing_found_is_an_error():
    class Empty(ChainRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
            return []

    with pytest.raises(DataError, match="found nothing for any query of zoo"):
        evaluate_retriever(Empty(), DATA)


def test_what_is_no_retriever_is_refused():
    with pytest.raises(TypeError, match="int is no retriever"):
        evaluate_retriever(3, DATA)
    with pytest.raises(TypeError, match="Judge is no reranker"):
        evaluate_retriever(ChainRetriever(), DATA, reranker=Judge())


def test_tokens_of_the_reranker_are_counted(loader):
    from tests.kinds import KINDS

    scorer = loader(KINDS[0])
    found = evaluate_retriever(ChainRetriever(), DATA, reranker=Reranker(scorer))
    assert found.models[0].cost.tokens_per_text > 1


def test_the_callers_documents_stay_as_they_are():
    kept = {name: document(name) for name in DATA.documents}
    copies = {name: one.model_copy(deep=True) for name, one in kept.items()}
    evaluate_retriever(ChainRetriever(make=kept.get), DATA, reranker=Reranker(Judge()))
    assert kept == copies
