from __future__ import annotations

import pytest
from tests.browser import BROWSER, browse, measured
from tests.explanation.made import made, small, words

from rag_rerankers.explanation import Token

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")


def wide():
    """Forty columns, and words that no window holds."""
    text = " ".join(["x" * 300, "東京" * 60, *(f"word{i}" for i in range(38))])
    tokens = words(text)
    rows = [[1.0 if i == j else 0.25 for j in range(40)] for i in range(40)]
    return made(text, text, tokens, tokens, rows)


def right_to_left():
    text = "שלום עולם مرحبا بالعالم 東京は日本の首都です"
    asked, tokens = words("ما هي العاصمة"), words(text)
    rows = [[0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.2, 0.1, 0.1, 0.1], [0.2, 0.3, 0.6, 0.1, 0.2]]
    return made("ما هي العاصمة", text, asked, tokens, rows)


@pytest.mark.parametrize("one", [small, wide, right_to_left])
def test_nothing_is_wider_than_the_window(one, tmp_path):
    found = measured(one().to_html(), tmp_path, 400, 1200)
    assert [seen["width"] for seen in found] == [400, 1200]
    assert [seen["out"] for seen in found] == [[], []]
    assert [seen["scroll"] for seen in found] == [400, 1200]


def test_the_page_opens_from_disk_and_logs_nothing(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(small().to_html(), encoding="utf-8")
    seen = browse(page, tmp_path / "profile")
    assert seen.console == []
    assert seen.dom.count("<mark") == 4


def test_the_browser_finds_every_row(tmp_path):
    (found,) = measured(small().to_html(), tmp_path, 1200)
    assert found["rows"] == 4 + 2 + 6


# --- letters ---

# The ink of a word whose letters join is as wide with its tokens marked as without.
JOINED = """<!doctype html><meta charset=utf-8>{style}
<article class=rr><blockquote dir=auto><span id=whole>{whole}</span></blockquote>
<blockquote dir=auto><span id=cut>{cut}</span></blockquote></article><script>
const width = id => document.getElementById(id).getBoundingClientRect().width;
document.documentElement.dataset.widths = [width("whole"), width("cut")].join(" ");
</script>"""


def test_marked_letters_of_one_word_stay_joined(tmp_path):
    word = "بالعالم"
    tokens = [Token(word[:3], "text", (0, 3)), Token(word[3:], "text", (3, 7))]
    html = made(word, word, tokens, tokens, [[0.5, 0.1], [0.1, 0.5]])._repr_html_()
    style = html[html.index("<style>") : html.index("</style>") + 8]
    inner = html.partition("<blockquote")[2].partition(">")[2].partition("</blockquote>")[0]
    assert inner.count("<mark") == 2
    page = tmp_path / "page.html"
    page.write_text(JOINED.format(style=style, whole=word, cut=inner), encoding="utf-8")
    dom = browse(page, tmp_path / "profile").dom
    whole, cut = map(float, dom.partition('data-widths="')[2].partition('"')[0].split())
    assert 0 < whole == pytest.approx(cut, abs=0.1)
