from __future__ import annotations

from collections.abc import Iterable
from math import log
from pathlib import Path

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_rerankers.evaluation import bm25
from rag_rerankers.evaluation.bm25 import rank_by_bm25, terms
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.loading import load_collection

DATA = Path(__file__).parents[3] / "shared" / "data"
ANIMALS = {
    "d1": "panda sleeps",
    "d2": "rust compiles",
    "d3": "bamboo grows",
    "d4": "panda plays",
}


class English:
    """In place of the guesses, which take long to load."""

    names = ("en",)

    def __init__(self, texts: Iterable[str]) -> None:
        pass

    def __call__(self, text: str) -> str:
        return "en"


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bm25, "Languages", English)


def ranking(documents: dict[str, str], query: str, top_k: int = 10) -> list[str]:
    run = rank_by_bm25(Collection("c", documents, {"q": query}), top_k)
    assert len(run.scores["q"]) == len(run.rankings["q"])
    return list(run.rankings["q"])


@pytest.mark.usefixtures("english")
def test_the_rarer_term_counts_more_and_ties_keep_the_order_of_the_documents() -> None:
    queries = {"q1": "Panda, bamboo?", "q2": "panda panda bamboo"}
    run = rank_by_bm25(Collection("c", ANIMALS, queries), 10)
    # All documents have the average length: a term that is there once has 1 / (1 + .9).
    rare, common = log(1 + 3.5 / 1.5) / 1.9, log(1 + 2.5 / 2.5) / 1.9
    assert run.name == "bm25"
    assert run.rankings == {"q1": ["d3", "d1", "d4"], "q2": ["d1", "d4", "d3"]}
    assert run.scores["q1"] == pytest.approx([rare, common, common], rel=1e-5)
    assert run.scores["q2"] == pytest.approx([2 * common, 2 * common, rare], rel=1e-5)


@pytest.mark.usefixtures("english")
def test_short_documents_and_frequent_terms_go_first() -> None:
    documents = {"long": "panda a b c d e", "short": "panda x", "often": "panda panda y z"}
    run = rank_by_bm25(Collection("c", documents, {"q": "panda"}), 10)
    inverse = log(1 + 0.5 / 3.5)  # the term is in 3 of 3, and their mean length is 4
    expected = {
        "often": inverse * 2 / (2 + 0.9),
        "short": inverse / (1 + 0.9 * (0.6 + 0.4 * 2 / 4)),
        "long": inverse / (1 + 0.9 * (0.6 + 0.4 * 6 / 4)),
    }
    assert list(run.rankings["q"]) == ["often", "short", "long"]
    assert run.scores["q"] == pytest.approx(list(expected.values()), rel=1e-5)


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize(
    ("query", "top_k", "expected"),
    [
        ("panda", 1, 1),
        ("panda", 2, 2),
        ("panda", 100, 2),
        ("bamboo", 100, 1),
        ("nothing of this", 10, 0),
        ("", 10, 0),
        ("?!", 10, 0),
    ],
)
def test_only_documents_that_share_a_term_are_ranked_and_no_more_than_asked_for(
    query: str, top_k: int, expected: int
) -> None:
    assert len(ranking(ANIMALS, query, top_k)) == expected


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize("n_documents", [5, 40])
def test_ties_at_the_last_place_go_by_the_order_of_the_documents(n_documents: int) -> None:
    documents = {f"d{i}": "panda bear" for i in range(n_documents)}
    assert ranking({**documents, "x": "other words"}, "panda", 3) == ["d0", "d1", "d2"]


@pytest.mark.usefixtures("english")
def test_documents_without_any_word_are_not_ranked() -> None:
    assert ranking({"a": "!!!", "b": ""}, "panda") == []


@pytest.mark.usefixtures("english")
def test_an_empty_document_is_not_ranked() -> None:
    assert ranking({"a": "", "b": "panda", "c": "rust"}, "panda") == ["b"]


STEMMED = {
    "en1": "They run in the park every morning and meet their friends.",
    "en2": "The cake is on the table in the kitchen, and nobody eats it.",
    "en3": "Nobody knows where the old letters of my mother are now.",
    "en4": "We have been to the sea twice, and both times it was raining.",
    "en5": "The train is late again because of the snow in the north.",
    "de1": "Das Haus steht am Rand der Stadt und ist sehr alt.",
    "de2": "Der Zug kommt heute nicht, weil es zu viel geschneit hat.",
    "de3": "Niemand weiß, wo die Briefe meiner Mutter jetzt liegen.",
    "de4": "Wir waren zweimal am Meer, und beide Male hat es geregnet.",
    "de5": "Der Kuchen steht auf dem Tisch in der Küche.",
    "zh1": "大熊猫生活在中国的山里，整天吃竹子。",
    "zh2": "我们明天坐火车去北京看朋友。",
    "zh3": "他昨天在图书馆看了三本书。",
    "zh4": "今天下雨，所以我们不去公园。",
    "zh5": "妈妈在厨房里做晚饭。",
}


# Without stemming, none of these shares a word with what it finds.
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("was somebody running through parks?", "en1"),
        ("wo gibt es hier Häuser aus den alten Städten?", "de1"),
        ("熊猫在哪里？", "zh1"),
    ],
)
def test_words_are_stemmed_in_the_language_of_their_text_and_chinese_has_no_words(
    query: str, expected: str
) -> None:
    assert ranking(STEMMED, query)[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("... ?!", []),
        ("The PANDA's bear", ["the", "panda", "s", "bear"]),
        ("C3PO snake_case 1,5", ["c3po", "snake_case", "1", "5"]),
        ("ÄRGER Straße", ["ärger", "straße"]),
        ("熊", ["熊"]),
        ("大熊猫", ["大熊", "熊猫"]),
        ("用Python写代码", ["用", "python", "写代", "代码"]),
        ("熊猫，竹子", ["熊猫", "竹子"]),
        ("ひらカナ", ["ひら", "らカ", "カナ"]),
        ("한국어 말", ["한국", "국어", "말"]),
        ("панда медведь", ["панда", "медведь"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("cafe\u0301 bar", ["caf\u00e9", "bar"]),
        ("ที่", ["ที", "ี่"]),
        ("panda\ud800bear", ["panda", "bear"]),
    ],
)
def test_words_and_pairs_of_characters_are_terms(text: str, expected: list[str]) -> None:
    assert list(terms(text)) == expected


@given(st.text())
def test_every_text_has_terms_without_white_space(text: str) -> None:
    for term in terms(text):
        assert term
        assert term == term.lower()
        assert term.split() == [term]


@pytest.mark.parametrize(("name", "expected"), [("squad-dev", 0.870), ("chroma-chunks", 0.782)])
def test_known_collections_are_ranked_as_well_as_ever(name: str, expected: float) -> None:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not on this machine")
    collection = load_collection(folder)
    assert collection.problems == ()
    run = rank_by_bm25(collection, 10)
    by_score = {q: dict(zip(run.rankings[q], run.scores[q], strict=True)) for q in run.rankings}
    measure = ir_measures.nDCG @ 10
    qrels = {q: dict(grades) for q, grades in collection.qrels.items()}
    found = ir_measures.calc_aggregate([measure], qrels, by_score)[measure]
    assert found == pytest.approx(expected, abs=0.02)
