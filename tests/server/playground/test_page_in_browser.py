"""The page in a real browser, before the real application."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from tests.browser import BROWSER
from tests.server.playground.served import Held, Overlap, playground, served

from rag_rerankers import Reranker

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome"),
]

QUESTION = "blue fish swims"
# Words of the question: 1, 0, 3, 0.
PASSAGES = ["red fish", "green tree house", "a blue fish swims", "stone"]
RANKED = (
    "document.querySelectorAll('#after > li').length && !document.getElementById('result').hidden"
)


@contextlib.contextmanager
def opened(browser, app, **size):
    with served(app) as url, browser.page(url, **size) as page:
        page.until(
            "document.querySelector('#model option') || !document.getElementById('problem').hidden"
        )
        yield page


def fill(page, question=QUESTION, passages=PASSAGES):
    for name, value in (("question", question), ("passages", "\n".join(passages))):
        page.run(f"document.getElementById('{name}').focus()")
        page.run(f"document.getElementById('{name}').select()")
        page.type(value)


def rank(page):
    page.run("document.getElementById('after').replaceChildren()")
    page.press("Control+Enter")
    page.until(RANKED)


def order(page, side="after"):
    return page.run(
        f"[...document.querySelectorAll('#{side} > li')].map(row => +row.dataset.index)"
    )


def focus(page):
    """What has the focus, in words."""
    return page.run(
        "(n => n.id || n.getAttribute('aria-label') || n.textContent)(document.activeElement)"
    )


def tab_to(page, expression, most=40):
    """Press Tab until JavaScript is true of the focused element ``node``."""
    for _ in range(most):
        if page.run(f"(node => {expression})(document.activeElement)"):
            return
        page.press("Tab")
    raise AssertionError(f"Tab never came to {expression}")


# --- the way through ---


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


# --- texts from files, and texts that mean harm ---

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


def choose(page, *paths):
    page.call("DOM.enable")
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector="#chooser")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])


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


# --- when things go wrong ---


def test_a_key_is_asked_for_and_used(browser):
    with opened(browser, playground(keys=["a long enough key"])) as page:
        page.until("document.activeElement.id === 'key'")
        assert page.text("#problem").startswith("a valid API key is needed")
        page.type("a wrong one")
        page.press("Enter")
        page.until("document.getElementById('problem').hidden === false")
        assert page.run("document.getElementById('model').length") == 0
        page.run("document.getElementById('key').select()")
        page.type("a long enough key")
        page.press("Enter")
        page.until("document.getElementById('key-form').hidden")
        fill(page)
        rank(page)
        assert order(page) == [2, 0, 1, 3]
        assert page.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        assert page.run("document.getElementById('key').value") == ""


def test_a_loading_model_is_waited_for(browser):
    go = threading.Event()

    def load(name):
        assert go.wait(60)
        return Reranker(Overlap())

    with opened(browser, playground(load=load)) as page:
        try:
            assert page.text("#model-note") == "It is being loaded."
            fill(page)
            page.press("Control+Enter")
            page.until(
                "document.getElementById('status').textContent.startsWith('The model is loading')"
            )
            assert page.run("document.getElementById('problem').hidden")
        finally:
            go.set()
        page.until(RANKED)
        assert order(page) == [2, 0, 1, 3]
        assert page.text("#model option") == "overlap (late interaction)"
        assert (
            page.run("document.querySelector('#after button').ariaLabel")
            == "Token heat map of rank 1"
        )


def test_a_server_that_lets_nobody_in_says_when_to_come_again(browser):
    app = playground()
    with opened(browser, app) as page:
        fill(page)
        app.state.service.gate.close()
        page.press("Control+Enter")
        page.until("!document.getElementById('problem').hidden")
        assert page.text("#problem p") == "the server is stopping (503) Try again in 5 seconds."
        app.state.service.gate.closed = False
        page.click("#problem button")
        page.until(RANKED)
        assert page.run("document.getElementById('problem').hidden")


def test_what_the_server_says_is_shown(browser):
    class Broken(Overlap):
        def score(self, query, texts):
            return [float("nan")] * len(texts)

        def explain(self, query, text):
            raise ValueError("not today <b>")

    with opened(browser, playground(load=lambda _: Reranker(Broken()))) as page:
        fill(page)
        page.press("Control+Enter")
        page.until("!document.getElementById('problem').hidden")
        assert page.text("#problem p").startswith("ScoreError: ")
        assert "(500)" in page.text("#problem p")
        assert page.text("#status") == ""


def test_an_explanation_that_fails_leaves_the_text(browser):
    class Dumb(Overlap):
        def explain(self, query, text):
            raise ValueError("not today <b>")

    with opened(browser, playground(load=lambda _: Reranker(Dumb()))) as page:
        fill(page)
        rank(page)
        page.click("#after li:first-child button")
        page.until("!document.getElementById('passage-problem').hidden")
        assert page.text("#passage-problem") == "not today <b>"
        assert page.text("#passage blockquote") == "a blue fish swims"


def test_a_server_that_is_gone_cannot_be_reached(browser):
    with contextlib.ExitStack() as page_only:
        with served(playground()) as url:
            page = page_only.enter_context(browser.page(url))
            page.until("document.querySelector('#model option')")
            fill(page)
        page.press("Control+Enter")
        page.until("!document.getElementById('problem').hidden")
        assert page.text("#problem p") == "The server cannot be reached, or it hung up."


def test_a_new_question_replaces_one_that_is_under_way(browser):
    held = Held()
    with opened(browser, playground(load=lambda _: Reranker(held))) as page:
        try:
            fill(page, question="wait for it")
            page.press("Control+Enter")
            page.until("!document.getElementById('stop').hidden")
            assert held.begun.wait(20)
            page.call("Network.enable")
            fill(page, question="now", passages=["short", "longer"])
            rank(page)
            assert order(page) == [1, 0]
            # The first is given up, so that the server need not finish it.
            failed = [e["params"] for e in browser.events if e["method"] == "Network.loadingFailed"]
            assert [one["canceled"] for one in failed] == [True]
            page.call("Network.disable")
            assert page.run("document.getElementById('stop').hidden")
            assert page.run("document.getElementById('problem').hidden")
        finally:
            held.go.set()


def test_a_question_can_be_stopped(browser):
    held = Held()
    with opened(browser, playground(load=lambda _: Reranker(held))) as page:
        try:
            fill(page, question="wait for it")
            page.press("Control+Enter")
            assert held.begun.wait(20)
            page.click("#stop")
            page.until("document.getElementById('status').textContent === 'Stopped.'")
        finally:
            held.go.set()


def test_nothing_is_asked_without_a_question_and_passages(browser):
    with opened(browser, playground()) as page:
        page.click("#rerank")
        page.until("document.activeElement.id === 'question'")
        page.type("blue fish")
        page.press("Enter")
        page.until("document.activeElement.id === 'passages'")
        page.type("red\nblue")
        rank(page)
        assert order(page) == [1, 0]


# --- the look ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_is_wider_than_the_window(browser, width, scheme):
    with opened(browser, playground("overlap", "length"), width=width) as page:
        page.prefer(prefers_color_scheme=scheme)
        page.click("#example")
        rank(page)
        inside = "document.documentElement.scrollWidth <= innerWidth"
        assert page.run(inside)
        # Lines need two columns.
        assert page.run("document.querySelectorAll('#lines path').length") == (
            0 if width < 700 else 8
        )
        page.click("#after li:first-child button")
        page.until("document.querySelector('#passage .heat')")
        assert page.run("(d => d.scrollWidth <= d.clientWidth)(document.getElementById('passage'))")
        ground = page.run("getComputedStyle(document.documentElement).backgroundColor")
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 24, 31)"}[scheme]


def test_everything_that_can_be_operated_has_a_name(browser):
    with opened(browser, playground("overlap", "length")) as page:
        fill(page)
        rank(page)

        def nameless():
            nodes = page.call("Accessibility.getFullAXTree")["nodes"]
            roles = {*("button", "combobox", "textbox", "spinbutton", "radio", "checkbox")}
            roles |= {"link", "grid", "columnheader", "rowheader", "region", "dialog", "group"}
            seen = [n for n in nodes if not n["ignored"] and n["role"]["value"] in roles]
            assert len(seen) > 10
            return [n for n in seen if not n.get("name", {}).get("value", "").strip()]

        assert nameless() == []
        page.click("#after li:first-child button")
        page.until("document.querySelector('#passage .heat')")
        assert nameless() == []


def test_letters_that_join_stay_joined_when_they_are_marked(browser):
    script = """import("/playground/tokens.js").then(({ markedText }) => {
      const width = (text, tokens) => {
        const { node } = markedText(text, tokens);
        node.style.width = "max-content";
        document.body.append(node);
        return node.getBoundingClientRect().width;
      };
      const word = "بالعالم", piece = (...span) => ({ kind: "text", text: "", span });
      return [width(word, [piece(0, 7)]), width(word, [piece(0, 3), piece(3, 7)])];
    })"""
    with opened(browser, playground()) as page:
        whole, cut = page.run(script)
        assert 0 < whole == pytest.approx(cut, abs=0.1)
