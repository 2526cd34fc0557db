from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from rag_rerankers import ModelOptions, Reranker

from langchain_rag_rerankers import RagCrossEncoder, RagRerank

CHANGED = {
    "device": "cpu",
    "dtype": "float32",
    "max_length": 64,
    "revision": "v1",
    "long_documents": "max_passage",
    "batch_tokens": 1000,
    "local_files_only": True,
    "store": "tokens",
    "on_failure": "keep_order",
    "api_key": "k3y",
    "timeout": 2.5,
}


@pytest.mark.parametrize("adapter", [RagRerank, RagCrossEncoder])
def test_options_are_those_of_the_core(adapter: Any) -> None:
    ours = {name: field.default for name, field in adapter.model_fields.items()}
    core = {field.name: field.default for field in dataclasses.fields(ModelOptions)}
    assert {name: ours.get(name, "missing") for name in core} == core
    assert set(ours) - set(core) <= {"model", "top_n", "threshold", "scores"}


@pytest.mark.parametrize("adapter", [RagRerank, RagCrossEncoder])
def test_every_option_reaches_the_loader(adapter: Any, loads: Any) -> None:
    assert set(CHANGED) == {field.name for field in dataclasses.fields(ModelOptions)}
    # A cross-encoder cannot leave scores out.
    changed = CHANGED if adapter is RagRerank else {**CHANGED, "on_failure": "raise"}
    instance = adapter(model="some-model", **changed)
    assert loads.calls == []
    if adapter is RagRerank:
        instance.compress_documents([Document("red")], "red")
    else:
        instance.score([("red", "red")])
    assert loads.calls == [("some-model", ModelOptions(**changed))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_n", -1),
        ("top_n", "5"),
        ("top_n", True),
        ("top_n", 2.5),
        ("threshold", 1.5),
        ("threshold", -0.1),
        ("threshold", float("nan")),
        ("threshold", "0.5"),
        ("scores", "logit"),
        ("device", 3),
        ("dtype", "int3"),
        ("max_length", 0),
        ("max_length", "512"),
        ("revision", 7),
        ("long_documents", "skip"),
        ("batch_tokens", -4),
        ("on_failure", "skip"),
        ("timeout", -2),
        ("model", None),
        ("model", 42),
        ("model", object),
    ],
)
def test_bad_value_is_refused_at_construction(field: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        RagRerank(**{field: value})
    assert field in str(caught.value)
    # Told by the sentence itself: pydantic's dump of the input might hold a key.
    assert "input_value=" not in str(caught.value)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("adapter", [RagRerank, RagCrossEncoder])
def test_unknown_field_is_refused(adapter: Any) -> None:
    with pytest.raises(ValueError, match="topn"):
        adapter(topn=3)


@pytest.mark.parametrize("adapter", [RagRerank, RagCrossEncoder])
@pytest.mark.parametrize(("field", "value"), CHANGED.items())
@pytest.mark.parametrize("ready", [True, False])
def test_options_of_a_ready_model_are_refused(
    adapter: Any, field: str, value: Any, ready: bool, words: Any
) -> None:
    model = Reranker(words) if ready else words
    told = f"{field} cannot be set for a ready"
    if field == "on_failure" and not ready:  # it is the Reranker's, not the scorer's
        if adapter is RagRerank:
            assert adapter(model=model, on_failure=value).on_failure == value
            return
        told = "which a cross-encoder cannot"
    with pytest.raises(ValueError, match=told):
        adapter(model=model, **{field: value})


def test_adapters_share_one_model_per_configuration(loads: Any) -> None:
    document = Document("red")
    RagRerank(model="some-model").compress_documents([document], "red")
    RagRerank(model="some-model", top_n=1).compress_documents([document], "red")
    RagRerank(model=Path("some-model")).compress_documents([document], "red")
    RagCrossEncoder(model="some-model").score([("red", "red")])
    assert len(loads.calls) == 1
    RagRerank(model="some-model", max_length=64).compress_documents([document], "red")
    RagRerank(model="other-model").compress_documents([document], "red")
    assert [name for name, _ in loads.calls] == ["some-model", "some-model", "other-model"]


def test_changed_fields_take_effect(loads: Any, documents: list[Document]) -> None:
    rerank = RagRerank(model="some-model")
    assert len(rerank.compress_documents(documents, "red")) == 4
    rerank.top_n = 1
    rerank.model = "other-model"
    assert len(rerank.compress_documents(documents, "red")) == 1
    assert [name for name, _ in loads.calls] == ["some-model", "other-model"]


def test_threads_share_one_instance(loads: Any) -> None:
    loads.seconds = 0.1
    rerank = RagRerank(model="some-model", scores="raw")
    gate = threading.Barrier(8)

    def work(i: int) -> list[tuple[str, float]]:
        if i < 8:
            gate.wait()
        texts = [f"w{i} w{i}b w{i}c", "none", f"w{i} w{i}b", f"w{i}"]
        result = rerank.compress_documents([Document(text) for text in texts], f"w{i} w{i}b w{i}c")
        return [(d.page_content, d.metadata["relevance_score"]) for d in result]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(40)))
    assert len(loads.calls) == 1
    for i, result in enumerate(results):
        a, b, c = f"w{i}", f"w{i}b", f"w{i}c"
        assert result == [(f"{a} {b} {c}", 3.0), (f"{a} {b}", 2.0), (a, 1.0), ("none", 0.0)]


@pytest.mark.parametrize(
    "clone",
    [
        lambda rerank: pickle.loads(pickle.dumps(rerank)),
        copy.copy,
        copy.deepcopy,
        lambda rerank: rerank.model_copy(),
        lambda rerank: type(rerank)(**rerank.model_dump()),
    ],
    ids=["pickle", "copy", "deepcopy", "model_copy", "model_dump"],
)
def test_pickle_and_copy(clone: Any, loads: Any, documents: list[Document]) -> None:
    rerank = RagRerank(model="some-model", top_n=2, threshold=0.6, max_length=64)
    expected = rerank.compress_documents(documents, "red green")
    twin = clone(rerank)
    assert twin == rerank
    assert twin is not rerank
    assert len(loads.calls) == 1  # a copy neither carries weights nor loads any
    assert twin.compress_documents(documents, "red green") == expected
    assert len(loads.calls) == 1
