from __future__ import annotations

import re
import sys
from collections import Counter

import pytest

from ragdemo.passages import (
    MAX_CHARS,
    MIN_CHARS,
    CorpusError,
    Passage,
    python_docs,
    split_text,
    topic_passages,
)

WITH = """\
The "with" statement
********************

The "with" statement wraps the execution of a block with methods
defined by a context manager.

Changed in version 3.1: Support for multiple context expressions.
"""

COMPOUND = (
    """\
Compound statements
*******************

Compound statements contain other statements.


"""
    + WITH.replace("*", "=")
    + """

The "match" statement
=====================

The match statement is used for pattern matching.
"""
)


@pytest.fixture(scope="module")
def docs() -> list[Passage]:
    return python_docs()


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_repeated_section_stays_with_its_own_topic_under_its_full_heading() -> None:
    passages = topic_passages({"compound": COMPOUND, "with": WITH})
    assert [passage.id for passage in passages] == [
        "compound/compound-statements/1",
        "compound/the-match-statement/1",
        "with/the-with-statement/1",
    ]
    title = 'Compound statements > The "with" statement'
    assert passages[2] == Passage(
        id="with/the-with-statement/1",
        title=title,
        text=f"{title}\n\n" + WITH.split("\n", 3)[3].strip(),
        source='help("with")',
    )


def test_equal_topics_go_to_the_one_that_the_heading_names() -> None:
    text = 'The "if" statement\n******************\n\nIt is used for conditional execution.\n'
    assert [p.id for p in topic_passages({"else": text, "if": text})] == ["if/the-if-statement/1"]


def test_a_long_definition_keeps_its_name_and_its_first_paragraph_together() -> None:
    words = "words of a description " * 20  # 460 characters
    text = f"Methods\n*******\n\nstr.one(x)\n\n   First {words}\n\n   Second {words}\n"
    first, second = topic_passages({"methods": text})
    assert first.title == "Methods"
    assert first.text.startswith("Methods\n\nstr.one(x)\n\n   First words")
    assert second.title == "Methods > str.one(x)"
    assert second.text.startswith("Methods > str.one(x)\n\nSecond words")


def test_a_drawn_table_is_written_one_row_per_line() -> None:
    table = """\
+------+---------------+
| Name | Meaning       |
|======|===============|
| "a"  | the first one |
|      | of all        |
+------+---------------+
| "b"  | the second    |
+------+---------------+
"""
    (passage,) = topic_passages({"t": f"Table\n*****\n\n{table}"})
    assert passage.text == 'Table\n\nName | Meaning\n"a" | the first one of all\n"b" | the second'


def test_a_note_on_versions_alone_is_no_passage() -> None:
    text = "Coroutines\n**********\n\nNew in version 3.5.\n\n\nDetails\n=======\n\nThey wait.\n"
    (passage,) = topic_passages({"async": text})
    assert passage.text == "Coroutines > Details\n\nThey wait."


def test_text_is_cut_at_paragraph_ends_and_short_rests_join_their_neighbours() -> None:
    paragraphs = [f"{letter * 299}." for letter in "abcdefg"]  # 7 x 300, and a short one
    pieces = split_text("\n\n".join([*paragraphs, "The end."]))
    assert pieces == [
        "\n\n".join(paragraphs[:2]),
        "\n\n".join(paragraphs[2:4]),
        "\n\n".join(paragraphs[4:6]),
        "\n\n".join([paragraphs[6], "The end."]),
    ]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    sentence = "Sentence number nine goes on for a little while. "
    pieces = split_text(sentence * 30)
    assert len(pieces) == 2
    assert all(piece.startswith("Sentence") and piece.endswith("while.") for piece in pieces)
    assert flat(" ".join(pieces)) == (sentence * 30).strip()


@pytest.mark.parametrize("text", ["", "   \n\n \t\n", "\n"])
def test_nothing_gives_nothing(text: str) -> None:
    assert split_text(text) == []


def test_a_word_without_end_is_cut_too() -> None:
    pieces = split_text("x" * 5000)
    assert "".join(pieces) == "x" * 5000
    assert max(map(len, pieces)) <= MAX_CHARS + MIN_CHARS


def test_ids_are_unique_and_deterministic(docs: list[Passage]) -> None:
    assert max(Counter(passage.id for passage in docs).values()) == 1
    assert python_docs() == docs
    assert all(re.fullmatch(r"[\w-]+/[\w-]+/\d+", passage.id) for passage in docs)


def test_lengths_suit_an_embedding_model(docs: list[Passage]) -> None:
    bodies = [len(passage.text) - len(passage.title) - 2 for passage in docs]
    assert 450 < len(docs) < 700
    assert max(bodies) <= MAX_CHARS + 2 * MIN_CHARS
    assert sum(400 <= length <= 900 for length in bodies) > 0.75 * len(docs)


def test_the_text_begins_with_the_title(docs: list[Passage]) -> None:
    assert all(passage.text.startswith(f"{passage.title}\n\n") for passage in docs)


def test_no_paragraph_is_in_two_passages(docs: list[Passage]) -> None:
    paragraphs = Counter(
        flat(paragraph)
        for passage in docs
        for paragraph in passage.text.split("\n\n")[1:]
        # The "raise" topic prints one traceback twice, for two different programs.
        if len(flat(paragraph)) > 100 and "Traceback" not in paragraph
    )
    assert [paragraph for paragraph, count in paragraphs.items() if count > 1] == []


def test_no_sentence_of_the_documentation_is_lost(docs: list[Passage]) -> None:
    from pydoc_data.topics import topics

    # Footnotes differ in their number only; tables are rewritten; a long paragraph is cut.
    def known(text: str) -> str:
        return flat(re.sub(r"\[\d+\]", "", text))

    corpus = " ".join(known(passage.text.partition("\n\n")[2]) for passage in docs)
    sentences = {
        known(sentence)
        for text in topics.values()
        for paragraph in re.split(r"\n\s*\n", text)
        if not paragraph.lstrip().startswith("+-")
        and not re.fullmatch(r"\S.*\n([*=~^-])\1+", paragraph)
        for sentence in re.split(r"(?<=\.)\s+", paragraph)
        if len(sentence) > 60
    }
    assert len(sentences) > 1500
    assert [sentence for sentence in sorted(sentences) if sentence not in corpus] == []


def test_a_python_without_documentation_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(CorpusError, match="--docs FOLDER"):
        python_docs()
