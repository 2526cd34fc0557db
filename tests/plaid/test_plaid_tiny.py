"""Collections with fewer vectors than colbert-ai makes centroids."""

from __future__ import annotations

import pytest
from tests.plaid.needs import needs_colbert
from tests.plaid.passages import Exhaustive, passages

from rag_rerankers.plaid import PlaidIndex

needs_colbert()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 17])
@pytest.mark.parametrize("kind", ["words", "empty", "equal"])
def test_few_passages(n, kind, reranker, tmp_path):
    made = {"words": passages(n), "empty": [""] * n, "equal": ["panda"] * n}[kind]
    texts = {f"p{number}": text for number, text in enumerate(made)}
    index = PlaidIndex.build(tmp_path / "index", texts, texts.values(), reranker)
    for k in (1, n, 3 * n):
        expected = Exhaustive(reranker, texts).search("what is a panda", k)
        found = index.search("what is a panda", k)
        assert [hit.score for hit in found] == [
            pytest.approx(score, abs=1e-4) for _, score in expected
        ]
        estimated = index.search("what is a panda", k, exact=False)
        assert len({hit.id for hit in estimated}) == min(k, n)
    index.add(["more"], ["bear in china"])
    assert {hit.id for hit in index.search("bear in china", n + 1)} == {*texts, "more"}
    assert index.search("bear in china", 1)[0].id == "more" or kind == "words"


def test_a_single_vector(make, tmp_path):
    from rag_rerankers import Reranker

    plain = Reranker(make("st_multivector", skiplist_words=["panda"]), device="cpu")
    index = PlaidIndex.build(tmp_path / "index", ["a"], ["panda"], plain)
    assert [hit.id for hit in index.search("panda", 10)] == ["a"]
