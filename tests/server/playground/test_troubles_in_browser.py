"""The page when things go wrong, and when two questions meet."""

from __future__ import annotations

import contextlib
import threading

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from tests.browser import BROWSER
from tests.server.playground.driving import RANKED, fill, opened, order, rank
from tests.server.playground.served import Held, Overlap, playground, served

from rag_rerankers import Reranker, ScoreError

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome"),
]


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
            raise ScoreError("not today <b>")

    with opened(browser, playground(load=lambda _: Reranker(Dumb()))) as page:
        fill(page)
        rank(page)
        page.click("#after li:first-child button")
        page.until("!document.getElementById('passage-problem').hidden")
        assert page.text("#passage-problem") == "ScoreError: not today <b>"
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
