from __future__ import annotations

import inspect
import sys

import pytest

from rag_rerankers.errors import MissingExtraError
from rag_rerankers.evaluation import languages
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.languages import Languages, query_languages

TEXTS = {
    "en": "The giant panda is a bear that lives in China and eats bamboo all day long.",
    "de": "Der große Panda ist ein Bär, der in China lebt und den ganzen Tag Bambus frisst.",
    "es": "El panda gigante es un oso que vive en China y come bambú durante todo el día.",
    "zh": "大熊猫是一种生活在中国的熊，整天都在吃竹子。",
}
QUESTIONS = [
    ("en", "what is a panda?"),
    ("en", "where do bears live"),
    ("de", "Was frisst der Panda?"),
    ("de", "Wo leben Bären?"),
    ("es", "¿Qué come el panda?"),
    ("es", "¿Dónde viven los osos?"),
    ("zh", "熊猫吃什么？"),
    ("zh", "熊住在哪里"),
]


def texts(**frequency: int) -> list[str]:
    return [TEXTS[code] for code, count in frequency.items() for _ in range(count)]


@pytest.fixture(scope="module")
def mixed() -> Languages:
    return Languages(texts(zh=5, es=6, de=7, en=8))


@pytest.fixture(scope="module")
def english() -> Languages:
    return Languages(texts(en=20))


def test_names_are_the_languages_with_the_most_frequent_first(mixed: Languages) -> None:
    assert mixed.names == ["en", "de", "es", "zh"]


def test_two_collections_do_not_share_their_languages(mixed: Languages) -> None:
    spanish = Languages(texts(es=6, zh=5))
    assert spanish.names == ["es", "zh"]
    assert spanish("熊猫吃什么？") == "zh"
    assert mixed("Was frisst der Panda?") == "de"
    assert Languages(texts(de=5, en=6)).names == ["en", "de"]


@pytest.mark.parametrize(("code", "text"), QUESTIONS)
def test_short_questions_are_told_apart(mixed: Languages, code: str, text: str) -> None:
    assert mixed(text) == code


@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        ({"en": 16, "de": 4}, ["en"]),  # 20 %, but four texts only
        ({"en": 195, "de": 5}, ["en"]),  # five texts, but 2.5 % only
        ({"en": 95, "de": 5}, ["en", "de"]),
        ({"de": 2, "en": 3}, ["en"]),  # none has five: the most frequent
        ({}, []),
    ],
)
def test_candidates_have_a_real_share(frequency: dict[str, int], expected: list[str]) -> None:
    assert Languages(texts(**frequency)).names == expected


@pytest.mark.parametrize(
    ("also", "expected"), [(["zh"], ["zh"]), (["en", "zh", "en"], ["en", "zh"])]
)
def test_more_candidates_can_be_named(also: list[str], expected: list[str]) -> None:
    assert Languages(texts(en=4), also=also).names == expected
    assert Languages(texts(de=5), also=also).names == ["de", *expected]


@pytest.mark.parametrize("text", [TEXTS["de"], TEXTS["zh"], "", "\ud800"])
def test_where_there_is_one_language_every_text_is_in_it(english: Languages, text: str) -> None:
    assert english(text) == "en"


@pytest.mark.parametrize("text", ["what is a \ud800panda?", "\udfffwhere do bears live"])
def test_half_a_surrogate_pair_does_no_harm(mixed: Languages, text: str) -> None:
    assert mixed(text) == "en"


@pytest.mark.parametrize(
    ("n_texts", "step"),
    [
        (10, 1),
        (2000, 1),
        (2100, 2),
        (3999, 2),
        (4000, 2),
        (20_000, 10),
        (1_000_000, 1),
    ],
)
def test_a_sample_of_2000_from_all_over_is_looked_at_and_of_millions_the_first(
    monkeypatch: pytest.MonkeyPatch, n_texts: int, step: int
) -> None:
    seen: list[object] = []

    def guess(_: Languages, text: str) -> str:
        seen.append(text)
        return "en"

    monkeypatch.setattr(Languages, "_guess", guess)
    Languages(range(n_texts))  # type: ignore[arg-type]
    assert seen == list(range(n_texts))[::step][:2000]


def collection(queries: dict[str, str], fields: dict[str, dict[str, str]]) -> Collection:
    documents = {f"d{i}": text for i, text in enumerate(texts(en=5, de=5, es=5, zh=5))}
    return Collection("c", documents, queries, fields=fields)


def test_told_languages_need_no_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    fields = {"q2": {"lang": "DE"}, "q1": {"language": "zh", "kind": "x"}, "q9": {"lang": "es"}}
    told = collection({"q1": TEXTS["en"], "q2": TEXTS["es"]}, fields)
    assert query_languages(told) == {"q1": "zh", "q2": "de"}
    # The library is loaded once a process: here it never was.
    monkeypatch.setattr(languages, "_identifier", inspect.unwrap(languages._identifier))
    with pytest.raises(MissingExtraError, match=r"rag-rerankers\[eval\]"):
        query_languages(collection({"q1": TEXTS["en"]}, {}))


def test_told_languages_go_before_guesses_and_the_others_are_guessed() -> None:
    queries = {f"{code}{i}": text for i, (code, text) in enumerate(QUESTIONS)}
    queries["told"] = TEXTS["en"]
    found = query_languages(collection(queries, {"told": {"language": "fr"}, "en0": {"kind": "x"}}))
    assert list(found) == list(queries)
    assert found == {id_: id_[:2] for id_ in queries if id_ != "told"} | {"told": "fr"}
