from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from rag_rerankers.evaluation import groups
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.groups import groups_of

DOCUMENTS = {"d1": "en panda", "d2": "de Bär", "d3": "zh 熊", "d4": "en bear"}


class FirstWord:
    """In place of guesses: texts say their language in their first word."""

    def __init__(self, texts: Iterable[str]) -> None:
        pass

    def __call__(self, text: str) -> str:
        return text.split()[0]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "Languages", FirstWord)


def collection(
    languages: str, relevant: str = "", fields: dict[str, dict[str, str]] | None = None
) -> Collection:
    """Queries q1, q2, ... in these languages, each with its relevant documents."""
    codes = dict(enumerate(languages.split(), 1))
    judged = dict(enumerate(relevant.split(), 1))
    known: dict[str, dict[str, str]] = {f"q{i}": {"lang": code} for i, code in codes.items()}
    for id_, more in (fields or {}).items():
        known.setdefault(id_, {}).update(more)
    return Collection(
        "zoo",
        DOCUMENTS,
        {f"q{i}": f"question {i}" for i in codes},
        qrels={f"q{i}": dict.fromkeys(docs.split("+"), 1) for i, docs in judged.items()},
        fields=known,
    )


CASES: list[Any] = [
    ("en en", "d1 d4", {}),
    ("de en de", "d2 d1 d2", {"language": {"de": ["q1", "q3"], "en": ["q2"]}}),
    (
        "zh en zh",
        "d2 d1 d3",
        {
            "language": {"en": ["q2"], "zh": ["q1", "q3"]},
            "direction": {"en": ["q2"], "zh": ["q3"], "zh -> de": ["q1"]},
        },
    ),
    # All in one language, with passages in several.
    ("en en", "d3+d2 d1+d2", {"direction": {"en -> de+en": ["q2"], "en -> de+zh": ["q1"]}}),
    # One direction only: nothing to report apart.
    ("en en", "d3 d3", {}),
    # Unknown documents have no language.
    ("en de", "d9 d9", {"language": {"de": ["q2"], "en": ["q1"]}}),
]


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(("languages", "relevant", "expected"), CASES)
def test_queries_are_grouped_by_language_and_direction(
    languages: str, relevant: str, expected: dict[str, dict[str, list[str]]]
) -> None:
    found = groups_of(collection(languages, relevant))
    assert found == expected
    assert [list(labels) for labels in found.values()] == [sorted(found[name]) for name in found]


@pytest.mark.usefixtures("told")
def test_passages_that_are_not_relevant_have_no_say() -> None:
    queries = {"q1": "x", "q2": "y"}
    fields = {"q1": {"lang": "en"}, "q2": {"lang": "en"}}
    qrels = {"q1": {"d1": 1, "d2": 0, "d3": -1}, "q2": {"d4": 2}}
    assert groups_of(Collection("zoo", DOCUMENTS, queries, qrels=qrels, fields=fields)) == {}


@pytest.mark.usefixtures("told")
def test_more_fields_are_groups_and_queries_without_them_stand_apart() -> None:
    fields = {
        "q1": {"kind": "b", "source": "web"},
        "q2": {"kind": "a", "source": "web"},
        "q3": {"source": "web"},
    }
    found = groups_of(collection("en en en", fields=fields), by=["kind", "source", "language"])
    assert found == {"kind": {"-": ["q3"], "a": ["q2"], "b": ["q1"]}}


@pytest.mark.usefixtures("told")
def test_an_unknown_field_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="zoo has a field 'kin'; there are: kind, lang"):
        groups_of(collection("en en", fields={"q1": {"kind": "a"}}), by=["kin"])
    bare = Collection("bare", DOCUMENTS, {})
    with pytest.raises(ValueError, match="there are: none"):
        groups_of(bare, by=["kind"])


@pytest.mark.usefixtures("told")
def test_a_field_of_no_query_that_is_left_is_refused() -> None:
    with pytest.raises(ValueError, match="field 'kind'"):
        groups_of(collection("en en", fields={"q9": {"kind": "a"}}), by=["kind"])


def test_languages_and_directions_are_guessed_where_nothing_tells_them() -> None:
    chinese = ["大熊猫整天都在吃什么东西？", "北京的火车几点开？", "妈妈在厨房里做什么？"] * 2
    german = ["Warum fährt der Zug heute nicht?", "Was frisst der große Panda?"] * 3
    queries = {f"q{i:02}": text for i, text in enumerate(chinese + german)}
    text = "Der große Panda ist ein Bär, der in China lebt und den ganzen Tag Bambus frisst."
    guessed = Collection(
        "zoo", {"d": text}, queries, qrels={id_: {"d": 1} for id_ in queries if id_ != "q00"}
    )
    zh, de = list(queries)[:6], list(queries)[6:]
    assert groups_of(guessed) == {
        "language": {"de": de, "zh": zh},
        "direction": {"de": de, "zh": ["q00"], "zh -> de": zh[1:]},
    }
