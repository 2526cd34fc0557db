"""A ranking that was skipped is never measured."""

from __future__ import annotations

import pytest
from tests.evaluation.small import DATA, STAGE

from rag_rerankers import ModelOptions, RemoteError, Reranker, RerankError, RerankSkippedWarning
from rag_rerankers.evaluation import evaluate, evaluate_retriever
from rag_rerankers.evaluation.systems import candidates

documents = pytest.importorskip("langchain_core.documents", reason="needs LangChain")
adapters = pytest.importorskip("langchain_rag_rerankers", reason="needs the adapter")


class Down:
    def score(self, query, texts):
        raise RemoteError("http://h/rank answered 503: overloaded")


class Retriever:
    def invoke(self, query):
        return [documents.Document(text, id=id_) for id_, text in DATA.documents.items()]


skipped = pytest.mark.filterwarnings("ignore::rag_rerankers.RerankSkippedWarning")


@skipped
def test_evaluate_stops_where_the_order_was_kept():
    with pytest.raises(
        RerankError, match=r"'one\?' was not reranked.*503: overloaded.*'raise'"
    ) as caught:
        evaluate(
            DATA, {"m": Reranker(Down(), on_failure="keep_order")}, first_stage=STAGE, cost=False
        )
    assert isinstance(caught.value.__cause__, RemoteError)


@skipped
@pytest.mark.parametrize(
    "reranker",
    [
        Reranker(Down(), on_failure="keep_order"),
        adapters.RagRerank(model=Down(), on_failure="keep_order"),
    ],
    ids=["core", "langchain"],
)
def test_so_does_the_evaluation_of_a_pipeline(reranker):
    with pytest.raises(RerankError, match="was not reranked"):
        evaluate_retriever(Retriever(), DATA, reranker=reranker)


def test_an_error_that_is_raised_is_raised_as_ever():
    with pytest.raises(RemoteError, match="overloaded"):
        evaluate(DATA, {"m": Reranker(Down())}, first_stage=STAGE, cost=False)
    assert issubclass(RerankSkippedWarning, UserWarning)


def test_a_server_is_a_model_like_others_and_its_password_is_not_in_tables():
    (one,) = candidates(["http://me:hunter2@h:8080#m,timeout=2.5"])
    assert one.name == "http://h:8080#m,timeout=2.5"
    assert one.options == ModelOptions(timeout=2.5)
    assert one.load().scorer.timeout == 2.5


@pytest.mark.parametrize("option", ["api_key", "on_failure"])
def test_what_must_not_be_written_into_a_name_is_no_option_there(option):
    with pytest.raises(ValueError, match=f"{option} in 'm' is not an option") as caught:
        candidates([f"m,{option}=hunter2"])
    assert "hunter2" not in str(caught.value)
