"""The page's modules, called one by one, in the browser that runs them."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from tests.browser import BROWSER
from tests.server.playground.served import playground, served

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome"),
]


@pytest.fixture(scope="module")
def page(browser):
    with served(playground()) as url, browser.page(url) as opened:
        yield opened


def call(page, module, function, *arguments):
    given = ", ".join(json.dumps(argument) for argument in arguments)
    return page.run(f"import('/playground/{module}.js').then(module => module.{function}({given}))")


@pytest.mark.parametrize(
    ("text", "separator", "passages"),
    [
        ("a\nb\r\n\r\n c \rd", "line", ["a", "b", "c", "d"]),
        ("a\nb\n\nc", "blank", ["a\nb", "c"]),
        ("a\r\n \t\r\n\r\nb\n", "blank", ["a", "b"]),
        (" \n\n ", "line", []),
        ("", "blank", []),
    ],
)
def test_pasted_text_is_split(page, text, separator, passages):
    assert call(page, "passages", "split", text, separator) == passages


@pytest.mark.parametrize(
    ("name", "text", "passages"),
    [
        ("a.txt", "one\ntwo", ["one", "two"]),
        ("a.jsonl", '{"text": "one\\ntwo", "id": 1}\n\n"three"\n', ["one\ntwo", "three"]),
        ("A.JSON", '["one", {"text": "two"}, ""]', ["one", "two", ""]),
        ("a.json", '{"query": "q", "documents": ["one"]}', ["one"]),
        ("a.csv", 'id,Text\n1,"one, ""two""\nthree"\r\n2,four\n', ['one, "two"\nthree', "four"]),
        ("a.csv", "one\ntwo\n", ["one", "two"]),
    ],
)
def test_files_hold_passages(page, name, text, passages):
    assert call(page, "passages", "parse", text, name, "line") == passages


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '"one"\n{"text": ', "a.jsonl, line 2: not JSON"),
        (
            "a.jsonl",
            '{"body": "one"}',
            'a.jsonl, line 1: neither a string nor an object with a "text"',
        ),
        ("a.json", "{}", 'a.json holds no list of strings, or of objects with a "text"'),
        ("a.json", "[null]", 'a.json, item 1: neither a string nor an object with a "text"'),
        ("a.csv", "id,body\n1,one\n", 'a.csv has no column "text", but id, body'),
        ("a.csv", 'text\n"one', "row 2: a quote is not closed, or something follows it"),
    ],
)
def test_files_that_hold_none_say_why(page, name, text, said):
    given = ", ".join(map(json.dumps, (text, name, "line")))
    assert (
        page.run(
            "import('/playground/passages.js').then(m => m.parse(" + given + "))"
            ".then(() => 'nothing', error => error.message)"
        )
        == said
    )


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("[0xff, 0xfe, 0x61, 0, 0xe4, 0]", ["aä"]),  # UTF-16, as spreadsheets write it
        ("[0xef, 0xbb, 0xbf, 0x61]", ["a"]),
        ("[0x61, 0xe4]", "a.txt is not UTF-8: save it as UTF-8 text"),
        ("[]", "a.txt holds no passages"),
    ],
)
def test_bytes_become_text_or_an_error(page, data, found):
    assert (
        page.run(
            "import('/playground/passages.js').then(m => m.readFile("
            f"new File([new Uint8Array({data})], 'a.txt'), 'line')).catch(error => error.message)"
        )
        == found
    )


def test_movements_are_counted_from_one(page):
    hits = [{"index": index} for index in (3, 0, 1)]
    found = call(page, "ranking", "compare", [0, 1, 2, 3], hits, 3)
    assert [(row["rank"], row["was"], row["moved"], row["fresh"]) for row in found["after"]] == [
        *((1, 4, 3, True), (2, 1, -1, False), (3, 2, -1, False))
    ]
    assert [row["now"] for row in found["before"]] == [2, 3, None, 1]
    assert call(page, "ranking", "tally", found["after"]) == {"up": 1, "down": 2, "same": 0}
    said = [call(page, "ranking", "movement", row, 3) for row in found["after"]]
    assert said == ["up 3, new in the top 3", "down 1", "down 1"]


def token(text, *span, kind="text"):
    return {"text": text, "kind": kind, "span": list(span) or None}


@pytest.mark.parametrize(
    ("text", "tokens", "pieces"),
    [
        (
            "a bear",
            [token("[CLS]", kind="special"), token("bear", 2, 6)],
            [("a ", []), ("bear", [1])],
        ),
        # The server counts characters; JavaScript has two units for an emoji.
        ("🐼 bear", [token("bear", 2, 6)], [("🐼 ", []), ("bear", [0])]),
        ("bear 🐼", [token("🐼", 5, 6)], [("bear ", []), ("🐼", [0])]),
        # What is one character to the eye stays whole.
        ("e\u0301a", [token("e", 0, 1), token("a", 2, 3)], [("e\u0301", [0]), ("a", [1])]),
        ("🇩🇪", [token("🇩", 0, 1), token("🇪", 1, 2)], [("🇩🇪", [0, 1])]),
        ("東京", [token("東", 0, 1), token("京", 0, 1)], [("東", [0, 1]), ("京", [])]),
        ("ab", [token("a"), token("b")], [("a", [0]), (" ", []), ("b", [1]), (" ", [])]),
        ("ab", [], [("ab", [])]),
    ],
)
def test_texts_are_cut_at_the_borders_of_tokens(page, text, tokens, pieces):
    found = call(page, "tokens", "segments", text, tokens)
    assert [(one["text"], one["tokens"]) for one in found] == pieces


EXPLANATION = {
    "query_tokens": [token("a", 0, 1), token("[MASK]", kind="expansion")],
    "tokens": [token("x", 0, 1), token(".", 1, 2, kind="skipped"), token("y", 2, 3)],
    "similarities": [[0.5, None, -0.25], [0.0, None, 1.0]],
    "matches": [
        {"query_token": 0, "token": 0, "similarity": 0.5},
        {"query_token": 1, "token": 2, "similarity": 1.0},
    ],
}


@pytest.mark.parametrize(
    ("shown", "rows", "columns", "lowest", "highest", "warmth"),
    [
        ({"filling": False, "all": True}, [0], [0, 2], -0.25, 0.5, [0.5, None, -0.25]),
        ({"filling": True, "all": True}, [0, 1], [0, 2], -0.25, 1.0, [0.5, None, 1.0]),
        ({"filling": False, "all": False}, [0], [0], -0.25, 0.5, [0.5, None, -0.25]),
    ],
)
def test_the_matrix_holds_what_can_be_matched(page, shown, rows, columns, lowest, highest, warmth):
    given = f"{json.dumps(EXPLANATION)}, {json.dumps(shown)}"
    found = page.run(
        f"import('/playground/matrix.js').then(({{ Matrix }}) => ({{...new Matrix({given})}}))"
    )
    assert (found["rows"], found["columns"]) == (rows, columns)
    assert (found["lowest"], found["highest"], found["warmth"]) == (lowest, highest, warmth)


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        ("number", [-0.5, 2], "−0.50"),
        ("number", [-0.0001], "0.000"),
        ("duration", [0.00123], "1.2 ms"),
        ("duration", [0.0123], "12 ms"),
        ("duration", [1.239], "1.24 s"),
        ("counted", [1000, "passage"], "1,000 passages"),
        ("counted", [1, "passage"], "1 passage"),
        ("oneLine", ["a\n  panda"], "a panda"),
        ("oneLine", ["x" * 30, 5], "xxxx…"),
        ("oneLine", ["\u202eab\u0000"], "ab\ufffd"),
        ("beginning", ["🐼" * 300, 401], "🐼" * 200 + " …"),
        ("beginning", ["word " * 100, 12], "word word …"),
    ],
)
def test_numbers_and_texts_in_words(page, function, arguments, text):
    assert call(page, "words", function, *arguments) == text
