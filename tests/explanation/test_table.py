from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len
from tests.explanation.made import made, small, words
from tests.samples import NASTY

from rag_rerankers.explanation import Token


def test_the_table_worked_by_hand():
    lines = small().to_text(80).splitlines()
    assert lines[0] == "score 2.875, relevance 0.479: the sum over 6 query tokens"
    assert lines[1].split() == ["query", "matched", "similarity", "in", "the", "text"]
    assert [line.split(maxsplit=3) for line in lines[2:6]] == [
        ["[CLS]", "[SEP]", "0.500", "█████"],
        ["panda", "bear", "0.750", "███████▌    A [bear], eats it"],
        ["food", "eats", "0.875", "████████▊   A bear, [eats] it"],
        ["[SEP]", "[CLS]", "0.000"],
    ]
    # Both matched the bear, with .5 and .25.
    assert lines[6].split(maxsplit=5)[:5] == ["2", "×", "[MASK]", "bear", "0.375"]
    assert lines[7:] == ["×: tokens that fill up the query, with their mean similarity"]


def test_a_mean_says_so():
    assert "the mean over 6 query tokens" in small(mean=True).to_text()


def test_one_token_is_one():
    explanation = made("a", "b", words("a"), words("b"), [[-0.25]])
    assert "score −0.250" in explanation.to_text()
    assert explanation.to_text().splitlines()[0].endswith("1 query token")


def test_fillings_are_grouped_by_what_they_matched_the_most_frequent_first():
    mask = Token("[MASK]", "expansion")
    rows = [[1.0, 0.5], [0.25, 0.75], [0.0, 0.5], [0.5, 0.125], [0.0, 0.25]]
    explanation = made("", "a b", [mask] * 5, words("a b"), rows)
    cells = [line.split()[:5] for line in explanation.to_text().splitlines()[2:4]]
    assert cells == [["3", "×", "[MASK]", "b", "0.500"], ["2", "×", "[MASK]", "a", "0.750"]]


@pytest.mark.parametrize("width", [20, 21, 43, 44, 63, 64, 80, 200])
def test_no_line_is_wider_than_the_terminal(width):
    long = [Token("東京" * 30, "text", (0, 60)), *words("panda"), Token("[CLS]", "special")]
    texts = ["東京" * 30 + " bear", "x" * 300, *NASTY.values()]
    for text in texts:
        tokens = [Token(text or "[CLS]", "text", (0, len(text)) if text else None)]
        explanation = made("東京" * 30, text, long, tokens, [[0.5], [1.0], [-1.0]])
        lines = explanation.to_text(width).splitlines()
        assert len(lines) >= 5
        assert max(map(cell_len, lines)) <= width


def test_a_width_that_holds_no_table_is_refused():
    with pytest.raises(ValueError, match="width must be at least 20 columns, not 19"):
        small().to_text(19)


def test_square_brackets_and_controls_are_shown_not_obeyed():
    text = "[red]\x1b[31mbear[/red] \u202eabc"
    explanation = made("[bold]a", text, words("[bold]a"), words(text), [[0.5, 0.25]])
    shown = explanation.to_text()
    assert "[bold]a" in shown
    assert "[red]�[31mbear[/red]" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_context_begins_with_a_whole_word():
    text = "a very longish sentence about bears"
    explanation = made("bear", text, words("bear"), [Token("bears", "text", (30, 35))], [[0.5]])
    assert explanation.to_text().splitlines()[-1].endswith("  sentence about [bears]")


def test_a_context_that_no_tokenizer_told_is_left_out():
    bare = tuple(replace(token, span=None) for token in small().tokens)
    assert "in the text" not in replace(small(), tokens=bare).to_text()
