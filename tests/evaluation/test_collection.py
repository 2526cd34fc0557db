from __future__ import annotations

import pytest

from rag_rerankers.evaluation.collection import Collection

MANY = Collection(
    "many",
    {f"d{i}": "text" for i in range(1200)},
    {f"q{i}": f"question {i}" for i in range(50)},
    qrels={f"q{i}": {f"d{i}": 1, "d0": 0} for i in range(1, 50)},
    given={f"q{i}": [f"d{i}"] for i in range(50)},
    fields={f"q{i}": {"kind": "k"} for i in range(50)},
)


def test_a_collection_says_its_sizes() -> None:
    assert repr(MANY) == "Collection('many': 1,200 documents, 50 queries, 98 judgments)"


def test_only_texts_are_needed() -> None:
    alone = Collection("alone", {"d": "text"}, {"q": "what"})
    assert (alone.qrels, alone.given, alone.fields, alone.problems) == ({}, {}, {}, ())


@pytest.mark.parametrize("size", [1, 7, 49])
def test_a_sample_keeps_the_order_and_the_judgments_of_its_queries(size: int) -> None:
    sample = MANY.sample(size, seed=3)
    assert len(sample.queries) == size
    assert list(sample.queries) == [id_ for id_ in MANY.queries if id_ in sample.queries]
    assert all(sample.queries[id_] == MANY.queries[id_] for id_ in sample.queries)
    expected = {id_: MANY.qrels[id_] for id_ in sample.queries if id_ in MANY.qrels}
    assert sample.qrels == expected
    assert (sample.name, sample.documents) == (MANY.name, MANY.documents)


def test_a_sample_is_the_same_at_every_call_and_another_with_another_seed() -> None:
    assert MANY.sample(10) == MANY.sample(10)
    assert list(MANY.sample(10, seed=1).queries) != list(MANY.sample(10, seed=2).queries)


def test_a_sample_is_drawn_at_random_and_not_from_the_beginning() -> None:
    assert any(int(id_[1:]) >= 40 for id_ in MANY.sample(10).queries)


@pytest.mark.parametrize("size", [50, 51])
def test_a_sample_of_all_is_the_whole(size: int) -> None:
    assert MANY.sample(size) is MANY


@pytest.mark.parametrize("size", [0, -1])
def test_an_empty_sample_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"not {size}"):
        MANY.sample(size)
