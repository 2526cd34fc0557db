"""What the tests of the page have in common: how it is opened, filled in and read."""

from __future__ import annotations

import contextlib

from tests.server.playground.served import served

__all__ = [
    "PASSAGES",
    "QUESTION",
    "RANKED",
    "choose",
    "fill",
    "focus",
    "opened",
    "order",
    "rank",
    "tab_to",
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


def choose(page, *paths):
    page.call("DOM.enable")
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector="#chooser")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])
