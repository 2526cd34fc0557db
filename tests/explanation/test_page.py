from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from tests.explanation.made import made, small, words
from tests.samples import NASTY

from rag_rerankers.explanation import Token

EVIL = "</blockquote><script>alert(1)</script>\"'&amp;<img src=x onerror=alert(1)>"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Page(HTMLParser):
    """Checks that tags match; keeps tags, attributes, and what stands where."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.quotes: list[str] = []
        self.marks: list[tuple[str, str, str]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)
        if tag == "blockquote":
            self.quotes.append("")
        if tag == "mark":
            told = dict(attrs)
            self.marks.append(("", told["style"], told["title"]))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if "blockquote" in self.open:
            self.quotes[-1] += data
        if "mark" in self.open:
            text, style, title = self.marks[-1]
            self.marks[-1] = (text + data, style, title)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def test_the_text_is_shown_whole_with_what_was_matched_marked():
    page = Page(small().to_html())
    assert page.quotes == ["panda food", "A bear, eats it"]
    # bear holds 1.5 of the score, the most; eats .875, that is .58 of it.
    assert page.marks == [
        ("panda", "--w:0.75", "matches bear 0.75"),
        ("food", "--w:0.88", "matches eats 0.88"),
        ("bear", "--w:1.00", "1.50 of the score, matched by panda 0.75, 2 × [MASK] 0.75"),
        ("eats", "--w:0.58", "0.88 of the score, matched by food 0.88"),
    ]


def test_every_figure_is_in_a_table_too():
    page = Page(small().to_html())
    own, filling, heat = page.rows[:5], page.rows[5:8], page.rows[8:]
    assert own == [
        ["Query token", "Matched", "Similarity"],
        ["[CLS]", "[SEP]", "0.500"],
        ["panda", "bear", "0.750"],
        ["food", "eats", "0.875"],
        ["[SEP]", "[CLS]", "0.000"],
    ]
    assert filling[1:] == [["[MASK]", "bear", "0.500"], ["[MASK]", "bear", "0.250"]]
    assert "2 × [MASK] fill up the query; their similarities add up to 0.750" in page.text
    assert heat == [
        ["", "[CLS]", "bear", "eats", "[SEP]"],
        ["[CLS]", "0.25", "0.12", "0.00", "0.50"],
        ["panda", "0.00", "0.75", "0.25", "0.00"],
        ["food", "0.00", "0.25", "0.88", "0.00"],
        ["[SEP]", "0.00", "−0.25", "−0.50", "−0.12"],
        ["[MASK]", "0.00", "0.50", "0.00", "0.00"],
        ["[MASK]", "0.00", "0.25", "0.00", "0.12"],
    ]


def test_what_was_matched_outside_of_the_text_is_told():
    page = Page(small().to_html())
    assert "[SEP]: 0.50 of the score, matched by [CLS] 0.50" in page.text
    bare = made("a", "b", words("a"), words("b"), [[0.5]])
    assert "not part of the text" not in Page(bare.to_html()).text


def test_what_was_not_read_is_pale_and_said_to_be():
    html = small().to_html()
    assert '<span class="outside"> it</span>' in html
    assert "Characters 1 to 12 of 15 were compared" in html
    whole = made("a", "b", words("a"), words("b"), [[0.5]]).to_html()
    assert 'class="outside"' not in whole
    assert "were compared;" not in whole


def test_of_a_long_text_only_the_surroundings_of_the_passage_are_shown():
    text = "a" * 1000 + " panda " + "b" * 1000
    token = Token("panda", "text", (1001, 1006))
    page = Page(made("panda", text, words("panda"), [token], [[0.5]]).to_html())
    assert page.quotes[1] == "… " + "a" * 399 + " panda " + "b" * 399 + " …"
    assert "Characters 1,002 to 1,006 of 2,007 were compared" in page.text


def test_a_score_that_is_a_mean_says_so():
    assert "the score is the sum over 6 query tokens" in Page(small().to_html()).text
    assert "the score is the mean over 6 query tokens" in Page(small(mean=True).to_html()).text


def test_nothing_runs_and_nothing_is_loaded():
    page = Page(small().to_html())
    assert ("content", POLICY) in page.attributes
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {"src", "href", "onclick", "onload"} & {name for name, _ in page.attributes}
    assert "http" not in small().to_html().replace("http-equiv", "")


def test_markup_is_shown_not_obeyed():
    explanation = made(EVIL, EVIL, words(EVIL), words(EVIL), [[0.5] * 3] * 3)
    page = Page(explanation.to_html())
    assert page.quotes == [EVIL, EVIL]
    assert not {"script", "img"} & set(page.tags)
    assert "onerror" not in {name for name, _ in page.attributes}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_any_unicode_makes_a_page_that_can_be_written(text, tmp_path):
    tokens = [Token(text or "[CLS]", "text", (0, len(text)) if text else None)]
    html = made(text, text, tokens, tokens, [[0.5]]).to_html()
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    Page(html)
    assert "\x00" not in html


def test_texts_keep_their_own_direction():
    html = small().to_html()
    assert html.count('<blockquote dir="auto"') == 2
    assert "<bdi>panda</bdi>" in html


def test_similarities_beyond_one_fill_no_more_than_the_whole():
    long = made("a b", "c", words("a b"), words("c"), [[400.0], [100.0]])
    marks = Page(long.to_html()).marks
    assert [style for _, style, _ in marks] == ["--w:1.00", "--w:0.25", "--w:1.00"]


def test_a_heat_map_shows_no_more_than_the_strongest():
    n = 70
    text = " ".join(f"w{i}" for i in range(n))
    rows = [[(i + 1) / 100 if i == j else 0.0 for j in range(n)] for i in range(n)]
    page = Page(made(text, text, words(text), words(text), rows).to_html())
    assert "The 64 strongest of 70 rows." in page.text
    heat = page.rows[-65:]
    assert heat[0] == ["", *(f"w{i}" for i in range(6, n))]
    assert [row[0] for row in heat[1:]] == [f"w{i}" for i in range(6, n)]
    assert heat[1][1] == "0.07"


def test_a_notebook_gets_an_article_whose_style_holds_for_nothing_else():
    html = small()._repr_html_()
    page = Page(html)
    assert page.tags[0] == "article"
    assert not {"html", "body", "h1"} & set(page.tags)
    style = html.partition("<style>")[2].partition("</style>")[0]
    style = re.sub(r"/\*.*?\*/", "", style)
    rules = [rule.split("}")[-1].strip() for rule in style.split("{")[:-1]]
    selectors = [one.strip() for rule in rules for one in rule.split(",") if one]
    assert len(selectors) > 20
    plain = [one for one in selectors if not one.startswith((".rr", "@media"))]
    assert plain == []
