"""The page in a real browser, before the real application: the way through."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from tests.browser import BROWSER
from tests.server.playground.driving import (
    PASSAGES,
    RANKED,
    fill,
    focus,
    opened,
    order,
    rank,
    tab_to,
)
from tests.server.playground.served import playground

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome"),
]


def test_passages_are_ranked_and_their_movements_told(browser):
    with opened(browser, playground()) as page:
        fill(page)
        page.until("document.getElementById('found').textContent === '4 passages found'")
        rank(page)
        assert order(page, "before") == [0, 1, 2, 3]
        assert order(page) == [2, 0, 1, 3]
        moved = [text.lstrip("▲▼● ") for text in page.texts("#after .moved")]
        assert moved == ["up 2", "down 1", "down 1", "unchanged"]
        assert page.texts("#after .was") == [" was 3", " was 1", " was 2", " was 4"]
        assert page.texts("#after .text") == [PASSAGES[i] for i in (2, 0, 1, 3)]
        assert page.texts("#after .score") == [
            "score 3.000",
            "score 1.000",
            "score 0.000",
            "score 0.000",
        ]
        assert page.texts("#after .relevance") == [
            *("relevance 1.000", "relevance 0.333", "relevance 0.000", "relevance 0.000")
        ]
        assert page.run(
            "[...document.querySelectorAll('#lines path')].map(line => line.getAttribute('class'))"
        ) == [*("up", "down", "down", "same")]
        assert page.text("#status").startswith("Ranked 4 passages in ")
        assert page.text("#status").endswith("First now: passage 3.")
        assert "round trip" in page.text("#figures")
        assert page.complaints() == []


def test_the_order_is_the_servers(browser):
    with opened(browser, playground("length", "overlap")) as page:
        page.run("document.getElementById('model').value = 'overlap'")
        page.click("#example")
        rank(page)
        asked = {
            "query": page.run("document.getElementById('question').value"),
            "texts": page.run("document.getElementById('passages').value.split('\\n')"),
            "model": "overlap",
        }
        answer = page.run(
            "fetch('rank', {method: 'POST', headers: {'Content-Type': 'application/json'}, "
            f"body: JSON.stringify({json.dumps(asked)})}}).then(answer => answer.json())"
        )
        assert order(page) == [hit["index"] for hit in answer["hits"]]
        assert len(order(page)) == 8
        assert order(page) != list(range(8))


def test_a_keyboard_is_enough_from_the_example_to_a_similarity(browser):
    with opened(browser, playground()) as page:
        tab_to(page, "node.id === 'example'")
        page.press("Enter")
        tab_to(page, "node.id === 'question'", most=60)
        page.press("Control+Enter")
        page.until(RANKED)
        tab_to(page, "node.matches('#after button')", most=60)
        assert focus(page) == "Token heat map of rank 1"
        page.press("Enter")
        page.until("document.querySelector('#passage .heat')")
        tab_to(page, "node.matches('#passage td')")
        page.press("Escape")
        page.until("!document.getElementById('passage').open")
        assert focus(page) == "Token heat map of rank 1"


def test_arrow_keys_walk_through_the_heat_map(browser):
    with opened(browser, playground()) as page:
        fill(page)
        rank(page)
        tab_to(page, "node.matches('#after button')", most=60)
        page.press("Enter")
        page.until("document.querySelector('#passage .heat')")
        assert page.text("#passage-title") == "Passage 3, now rank 1"
        assert page.texts(".heat thead th") == ["a", "blue", "fish", "swims"]
        assert page.texts(".heat tbody th") == ["blue", "fish", "swims"]
        assert page.texts(".heat tbody tr:first-child td") == [
            *("0.00", "1.00, best", "0.00", "0.00")
        ]
        tab_to(page, "node.matches('#passage td')")
        assert page.text(".told") == "blue × a 0.000"
        for keys, told in [
            ("ArrowRight", "blue × blue 1.000: its best"),
            ("ArrowDown", "fish × blue 0.000"),
            ("End", "fish × swims 0.000"),
            ("ArrowRight", "fish × swims 0.000"),
            ("Control+End", "swims × swims 1.000: its best"),
            ("Home", "swims × a 0.000"),
            ("Control+Home", "blue × a 0.000"),
            ("ArrowUp", "blue × a 0.000"),
        ]:
            page.press(keys)
            assert page.text(".told") == told, keys
        # Cells stand below their headings, and headings beside the cells.
        cells = "[...document.querySelectorAll('.heat tr > :last-child')]"
        assert len(set(page.run(f"{cells}.map(cell => cell.getBoundingClientRect().right)"))) == 1
        assert page.run("document.querySelector('.heat thead').offsetHeight") < 100
        # One stop for Tab, wherever one has gone.
        assert page.run("document.querySelectorAll('.heat [tabindex=\"0\"]').length") == 1


def test_a_query_token_shows_what_it_matched(browser):
    with opened(browser, playground()) as page:
        fill(page)
        rank(page)
        page.click("#after li:first-child button")
        page.until("document.querySelector('#passage .heat')")
        shades = (
            "[...document.querySelectorAll('#passage mark')]"
            ".map(mark => [mark.textContent, +mark.style.getPropertyValue('--w')])"
        )
        assert page.run(shades) == [["a", 0], ["blue", 1], ["fish", 1], ["swims", 1]]
        tab_to(page, "node.matches('.chips input')")
        page.press("ArrowRight")
        page.press("ArrowRight")
        assert page.text(".told") == "fish matched fish, 1.000"
        assert page.run(shades) == [["a", 0], ["blue", 0], ["fish", 1], ["swims", 0]]
        assert page.texts("mark.best") == ["fish"]
        assert page.texts("tr.chosen th") == ["fish"]


def test_one_goes_from_passage_to_passage(browser):
    with opened(browser, playground()) as page:
        fill(page)
        rank(page)
        page.click("#after li:nth-child(3)")
        page.until("document.querySelector('#passage .heat')")
        assert page.text("#passage-title") == "Passage 2, now rank 3"
        page.click("#next")
        page.until(
            "document.querySelector('#passage-title').textContent === 'Passage 4, now rank 4'"
        )
        assert page.run("document.getElementById('next').disabled")
        page.press("Escape")
        page.until("document.activeElement.ariaLabel === 'Token heat map of rank 4'")


def test_other_models_say_why_they_have_no_heat_map(browser):
    with opened(browser, playground("length")) as page:
        fill(page)
        rank(page)
        page.click("#after li:first-child button")
        page.until("document.querySelector('#passage .why')")
        assert page.text("#passage blockquote") == "a blue fish swims"
        assert page.text("#passage .why").startswith("No heat map: length ")
        assert page.run("document.querySelector('.heat')") is None
        assert page.complaints() == []


def test_limits_reach_the_server_and_what_is_dropped_stays_visible(browser):
    with opened(browser, playground()) as page:
        fill(page)
        page.run("document.getElementById('top-n').value = 1")
        rank(page)
        assert order(page) == [2]
        assert page.texts("#after .moved") == ["▲ up 2, new in the top 1"]
        assert page.run(
            "[...document.querySelectorAll('#before .left')].map(row => +row.dataset.index)"
        ) == [0, 1, 3]
        page.run("document.getElementById('top-n').value = ''")
        page.run("document.getElementById('threshold').value = 0.3")
        rank(page)
        assert order(page) == [2, 0]
        assert page.run("document.querySelectorAll('#before .gone').length") == 2
        page.run("document.getElementById('threshold').value = 2")
        page.press("Control+Enter")
        page.until("document.activeElement.id === 'threshold'")
        page.run("document.getElementById('threshold').value = 0.5")
        fill(page, question="nothing")
        page.press("Control+Enter")
        page.until("!document.getElementById('nothing').hidden")


def test_two_models_stand_side_by_side(browser):
    with opened(browser, playground("overlap", "length")) as page:
        fill(page)
        page.run("document.getElementById('baseline').value = 'length'")
        rank(page)
        assert page.texts("#columns h3") == ["length", "overlap"]
        # By length: 17, 16, 8 and 5 characters.
        assert order(page, "before") == [2, 1, 0, 3]
        assert order(page) == [2, 0, 1, 3]
        assert page.texts("#after .moved") == ["● unchanged", "▲ up 1", "▼ down 1", "● unchanged"]
