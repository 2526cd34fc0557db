"""Texts from files, many of them, and texts that mean harm."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from tests.browser import BROWSER
from tests.server.playground.driving import choose, fill, focus, opened, order, rank
from tests.server.playground.served import playground

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome"),
]

HOSTILE = [
    "<script>window.harm = 1</script> blue",
    "<img src=x onerror='window.harm = 2'> fish",
    "</textarea><svg onload=window.harm=3>",
    "\u202egnirts\u202c مرحبا بالعالم שלום",
    "東京は日本の首都です 👩‍👩‍👧‍👦🇩🇪 e\u0301",
    "blue " * 2_000,
    "x" * 10_000,
]


@pytest.mark.parametrize("width", [360, 1250])
def test_hostile_texts_are_texts(browser, tmp_path, width):
    path = tmp_path / "hostile.json"
    # JSON keeps half a surrogate pair; nothing else brings one to a page.
    path.write_text(json.dumps([*HOSTILE, "half \ud83d of a pair"]), encoding="utf-8")
    with opened(browser, playground(), width=width) as page:
        fill(page, question="blue <b>fish</b>", passages=[])
        choose(page, path)
        page.until("document.getElementById('found').textContent === '8 passages found'")
        assert page.text("#files").startswith("hostile.json 8 passages")
        rank(page)
        for rank_number in range(1, 9):
            page.click(f"#after > li:nth-child({rank_number}) button")
            page.until("document.querySelector('#passage .heat, #passage-problem:not([hidden])')")
            assert page.run("document.getElementById('passage-problem').hidden")
            page.click("#close")
            page.until("!document.getElementById('passage').open")
        assert page.run("window.harm") is None
        assert (
            page.run(
                "document.querySelectorAll('main img, main script, dialog img, dialog svg').length"
            )
            == 0
        )
        shown = page.texts("#after .text")
        assert set(HOSTILE[:3]) <= set(shown)
        assert max(len(text) for text in shown) <= 402
        assert page.run("document.documentElement.scrollWidth") == width
        assert page.complaints() == []


def test_files_are_dropped_named_and_removed(browser):
    drop = """(() => {
      const data = new DataTransfer();
      data.items.add(new File([%s], %s));
      const drop = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
      document.getElementById("passages").dispatchEvent(drop);
      return drop.defaultPrevented;
    })()"""
    with opened(browser, playground()) as page:
        fill(page)
        assert page.run(
            drop % (json.dumps('{"text": "blue fish"}\n"swims"\n'), json.dumps("a.jsonl"))
        )
        page.until("document.getElementById('found').textContent === '6 passages found'")
        page.run(drop % (json.dumps('{"text": 1}\n'), json.dumps("b.jsonl")))
        page.until("!document.getElementById('problem').hidden")
        assert (
            page.text("#problem")
            == 'b.jsonl, line 1: neither a string nor an object with a "text".'
        )
        rank(page)
        assert order(page) == [2, 4, 0, 5, 1, 3]
        page.click("#files button")
        page.until("document.getElementById('found').textContent === '4 passages found'")


def test_the_separator_is_the_readers_choice(browser):
    with opened(browser, playground()) as page:
        fill(page, passages=["one", "two", "", " ", "three", ""])
        page.until("document.getElementById('found').textContent === '3 passages found'")
        page.click("[name=separator][value=blank]")
        assert page.text("#found") == "2 passages found"


def test_a_thousand_long_passages_are_painted_in_pages(browser, tmp_path):
    path = tmp_path / "many.json"
    path.write_text(json.dumps([f"{i} " + "word " * 1_000 for i in range(1_000)]), encoding="utf-8")
    with opened(browser, playground()) as page:
        fill(page, question="999", passages=[])
        choose(page, path)
        page.until("document.getElementById('found').textContent === '1,000 passages found'")
        rank(page)
        assert len(order(page)) == len(order(page, "before")) == 50
        assert page.texts("#after .moved")[0] == "▲ up 999"
        assert page.text("#more-after") == "Show 50 more of 950"
        page.click("#more-after")
        assert len(order(page)) == 100
        assert focus(page) == "Token heat map of rank 51"
        assert page.run("document.querySelectorAll('*').length") < 3_000
