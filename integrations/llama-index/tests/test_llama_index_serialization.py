"""Copies, pickles and dumps bring the same postprocessor back."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import MetadataMode, NodeWithScore
from pydantic import BaseModel

from llama_index.postprocessor.rag_rerankers import RagRerank
from rag_rerankers import Reranker, shared_reranker

# Every field away from its default, so that a lost one shows.
FIELDS: dict[str, Any] = {
    "model": "some/model",
    "top_n": None,
    "threshold": 0.25,
    "scores": "raw",
    "metadata_mode": MetadataMode.LLM,
    "keep_retrieval_score": True,
    "device": "cpu",
    "dtype": "float32",
    "max_length": 77,
    "revision": "v2",
    "long_documents": "max_passage",
    "batch_tokens": 99,
    "local_files_only": True,
    "store": "tokens",
}


class Last:
    """A scorer that can be pickled: the last text is the best."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float(i) for i in range(len(texts))]


def values(rerank: RagRerank) -> dict[str, Any]:
    return {name: getattr(rerank, name) for name in FIELDS}


def round_trips(rerank: RagRerank) -> list[RagRerank]:
    return [
        RagRerank.from_dict(rerank.to_dict()),
        RagRerank.from_json(rerank.to_json()),
        RagRerank.model_validate(rerank.model_dump()),
        RagRerank.model_validate_json(rerank.model_dump_json()),
        RagRerank.from_dict(rerank.to_dict(exclude_defaults=True)),
        RagRerank.from_dict(rerank.to_dict(exclude_unset=True)),
        pickle.loads(pickle.dumps(rerank)),
    ]


def test_every_field_survives() -> None:
    rerank = RagRerank(**FIELDS)
    for back in (*round_trips(rerank), copy.copy(rerank), copy.deepcopy(rerank)):
        assert values(back) == FIELDS


def test_dumps_are_plain_json() -> None:
    data = json.loads(RagRerank().to_json())
    assert data["class_name"] == RagRerank.class_name() == "RagRerank"
    assert data["model"] == "minilm-maxsim"
    assert data["metadata_mode"] == "embed"
    assert "callback_manager" not in data


def test_a_ready_named_reranker_comes_back_by_name() -> None:
    ready = Reranker("minilm-maxsim", device="cpu", dtype="float32", max_length=64)
    for back in round_trips(RagRerank(model=ready, top_n=2)):
        assert back.model == "minilm-maxsim"
        assert (back.device, back.dtype, back.max_length, back.top_n) == ("cpu", "float32", 64, 2)


def test_it_survives_as_a_field_of_another_model() -> None:
    class Holder(BaseModel):
        rerank: RagRerank

    held = Holder.model_validate_json(Holder(rerank=RagRerank(**FIELDS)).model_dump_json())
    assert values(held.rerank) == FIELDS


def test_a_scorer_without_a_name_is_refused_by_dumps(overlap: Any) -> None:
    class Other(Reranker):
        pass

    for model in (overlap, Reranker(overlap), Other(device="cpu")):
        with pytest.raises(ValueError, match=r"cannot be written as text.*given by name"):
            RagRerank(model=model).to_dict()


def test_a_picklable_scorer_is_pickled(nodes: list[NodeWithScore]) -> None:
    for model in (Last(), Reranker(Last())):
        back = pickle.loads(pickle.dumps(RagRerank(model=model, top_n=1)))
        assert back.top_n == 1
        assert back.postprocess_nodes(nodes, query_str="q")[0].node_id == "n3"


def test_a_cascade_is_pickled_and_refused_by_dumps(nodes: list[NodeWithScore]) -> None:
    rerank = RagRerank(model=Reranker.cascade([Last(), Last()], keep=2), top_n=1)
    back = pickle.loads(pickle.dumps(rerank))
    assert back.model.name == "Last > Last (2)"
    assert back.postprocess_nodes(nodes, query_str="q")[0].node_id == "n3"
    with pytest.raises(ValueError, match="cannot be written as text"):
        rerank.to_dict()


def test_an_unpicklable_scorer_is_refused_not_replaced() -> None:
    class Local(Last):
        pass

    rerank = RagRerank(model=Local())
    with pytest.raises(pickle.PicklingError, match=r"Local.*cannot be pickled.*module"):
        pickle.dumps(rerank)
    assert isinstance(rerank.model, Local)


def test_handlers_that_cannot_be_pickled_stay_where_they_are(callback_log: Any) -> None:
    callback_log.lock = threading.Lock()
    manager = CallbackManager([callback_log])
    rerank = RagRerank(**FIELDS, callback_manager=manager)
    back = pickle.loads(pickle.dumps(rerank))
    assert values(back) == FIELDS
    assert back.callback_manager.handlers == []
    assert rerank.callback_manager is manager


def test_pickling_carries_no_weights_and_loads_none(
    monkeypatch: pytest.MonkeyPatch, nodes: list[NodeWithScore]
) -> None:
    used = RagRerank(device="cpu")
    hits = used.postprocess_nodes(nodes, query_str="a fish")
    ready = RagRerank(model=Reranker(device="cpu"))
    with monkeypatch.context() as patch:
        patch.setattr("rag_rerankers.reranker.Reranker.__init__", None)
        for rerank in (used, ready):
            data = pickle.dumps(rerank)
            assert len(data) < 4000
            assert pickle.loads(data).model == "minilm-maxsim"
    again = pickle.loads(pickle.dumps(used)).postprocess_nodes(nodes, query_str="a fish")
    assert [(h.node_id, h.score) for h in again] == [(h.node_id, h.score) for h in hits]


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda r: r.model_copy(deep=True)])
def test_copies_share_the_model_and_the_handlers(overlap: Any, make: Any) -> None:
    for model in (overlap, Reranker(overlap)):
        rerank = RagRerank(model=model, top_n=3)
        other = make(rerank)
        assert other is not rerank
        assert other.model is model
        assert other.callback_manager is rerank.callback_manager
        other.top_n = 1
        assert rerank.top_n == 3


def test_a_copy_with_another_model_uses_it(
    nodes: list[NodeWithScore], overlap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rerank = RagRerank(device="cpu")
    rerank.postprocess_nodes(nodes, query_str="a fish")
    other = rerank.model_copy(update={"max_length": 9})
    other.postprocess_nodes(nodes, query_str="a fish")
    assert other._reranker().options.max_length == 9
    assert rerank._reranker() is shared_reranker("minilm-maxsim", rerank._options())
