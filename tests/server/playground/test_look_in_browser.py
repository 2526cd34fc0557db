"""The look of the page, and its names for those who do not see it."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="needs the extra 'server'")

from tests.browser import BROWSER
from tests.server.playground.driving import fill, opened, rank
from tests.server.playground.served import playground

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome"),
]


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
        dialog = "document.getElementById('passage')"
        assert page.run(f"{dialog}.scrollWidth <= {dialog}.clientWidth")
        left, right = page.run(f"(box => [box.left, box.right])({dialog}.getBoundingClientRect())")
        assert 0 <= left < right <= width
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
