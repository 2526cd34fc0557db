from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.explanation.made import words

from rag_rerankers.explanation import Token
from rag_rerankers.explanation.segments import segments


def cut(text, *spans):
    tokens = [Token(text[start:end], "text", (start, end)) for start, end in spans]
    return [(segment.text, segment.tokens) for segment in segments(text, tokens)]


def test_tokens_and_what_is_between_them():
    assert cut("a bear", (0, 1), (2, 6)) == [("a", (0,)), (" ", ()), ("bear", (1,))]
    assert cut("bearing", (0, 4), (4, 7)) == [("bear", (0,)), ("ing", (1,))]


def test_what_was_not_read_is_outside():
    tokens = words("one two three four")[1:3]
    found = segments("one two three four", tokens)
    assert [(segment.text, segment.inside) for segment in found] == [
        ("one ", False),
        ("two", True),
        (" ", True),
        ("three", True),
        (" four", False),
    ]


def test_tokens_of_one_character_are_one_segment():
    assert cut("é🐼", (0, 1), (0, 1), (1, 2), (1, 2)) == [("é", (0, 1)), ("🐼", (2, 3))]


@pytest.mark.parametrize(
    "text",
    ["e\u0301", "👨\u200d👩", "🏳\ufe0f\u200d🌈", "👍🏽", "🇫🇷", "स्त", "ก็"],
    ids=["accent", "family", "rainbow", "skin", "flag", "devanagari", "thai"],
)
def test_what_is_one_character_to_the_eye_is_not_cut(text):
    spans = [(place, place + 1) for place in range(len(text))]
    parts = cut(f"a{text}", (0, 1), *((start + 1, end + 1) for start, end in spans))
    assert parts[0] == ("a", (0,))
    assert parts[1][0].startswith(text[:2])
    # A token that covers only a part of it, the first or the last, marks all of it.
    for start, end in (spans[0], spans[1]):
        assert cut(text, (start, end))[0][0].startswith(text[:2])


def test_special_tokens_are_not_in_the_text():
    tokens = [Token("[CLS]", "special"), *words("a bear"), Token("[SEP]", "special")]
    assert [segment.tokens for segment in segments("a bear", tokens)] == [(1,), (), (2,)]
    assert segments("", [Token("[CLS]", "special")]) == []


def test_without_spans_the_tokens_stand_in_a_row():
    tokens = [Token("[CLS]", "special"), Token("bear", "text"), Token("ing", "text")]
    found = segments("Bearing", tokens)
    assert [(s.text, s.tokens) for s in found] == [("bear", (1,)), (" ", ()), ("ing", (2,))]


@given(
    st.text(max_size=20).flatmap(
        lambda text: st.tuples(
            st.just(text),
            st.lists(
                st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))
                .map(sorted)
                .filter(lambda span: span[0] < span[1])
                .map(tuple)
            )
            if text
            else st.just([]),
        )
    )
)
def test_whatever_the_spans_no_character_is_lost_and_every_token_is_somewhere(case):
    text, spans = case
    parts = cut(text, *spans)
    assert "".join(part for part, _ in parts) == text
    assert sorted(i for _, tokens in parts for i in tokens) == list(range(len(spans)))
