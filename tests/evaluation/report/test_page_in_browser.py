from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.report.evaluations import renamed, with_agreement, with_models

from rag_rerankers.evaluation.report.page import render_page, write_page
from rag_rerankers.evaluation.report.tables import (
    article_table,
    cost_table,
    difference_table,
    group_tables,
    quality_table,
)

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars"),
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no network, not even a name
    *("--enable-logging=stderr", "--v=0"),
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# Windows of browsers have a least width of 500 pixels, frames have none.
FRAME = '<iframe style="border: 0; width: {width}px; height: 2000px" srcdoc="{page}"></iframe>'
MEASURE = """<script>
const measure = frame => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const all = selector => [...page.querySelectorAll(selector)];
  // What can be scrolled within its own box may stick out.
  const out = all("body *").filter(one => !one.closest(".wide table") && !one.closest("svg *") &&
    one.getBoundingClientRect().right > view.innerWidth + 1);
  return {
    width: view.innerWidth,
    scroll: page.documentElement.scrollWidth,
    out: out.map(one => one.tagName),
    figures: all("figure > svg").length,
    rows: all("tbody tr").length,
    smallest: Math.min(...all("svg text").map(one => {
      const svg = one.ownerSVGElement;
      const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
      return parseFloat(getComputedStyle(one).fontSize) * scale;
    })),
  };
};
addEventListener("load", () => {
  const frames = [...document.querySelectorAll("iframe")];
  document.documentElement.dataset.measured = JSON.stringify(frames.map(measure));
});
</script>"""


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page."""

    dom: str
    console: list[str]


def browse(page: Path, profile: Path) -> Seen:
    done = subprocess.run(
        [
            *(BROWSER, *FLAGS, f"--user-data-dir={profile}", "--window-size=1250,900"),
            *("--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )
    told = done.stderr.decode("utf-8", "replace").splitlines()
    lines = [line for line in told if re.search(r"\bCONSOLE[:(]\d", line)]
    return Seen(done.stdout.decode("utf-8", "replace"), lines)


def measured(html: str, folder: Path, *widths: int) -> list[dict[str, Any]]:
    """What windows of these widths would show of the page."""
    path = folder / "frames.html"
    frames = [FRAME.format(width=width, page=escape(html)) for width in widths]
    path.write_text("".join(["<!doctype html>", *frames, MEASURE]), encoding="utf-8")
    found = re.search(r'data-measured="([^"]*)"', browse(path, folder / "profile").dom)
    assert found, "the page was not measured"
    told: list[dict[str, Any]] = json.loads(unescape(found[1]))
    return told


def evaluation():
    groups = {"kind": {"long": ["q2", "q3"], "short": ["q1", "q4"]}}
    return replace(with_agreement(), groups=groups)


def changed(page: Path, addition: str, *, scripts: bool = False) -> Path:
    """A copy with something in it that the page itself never has."""
    html = page.read_text(encoding="utf-8")
    assert html.count(POLICY) == html.count("</main>") == 1
    if scripts:
        html = html.replace(POLICY, f"{POLICY}; script-src 'unsafe-inline'")
    copy = page.with_name("copy.html")
    copy.write_text(html.replace("</main>", f"{addition}</main>"), encoding="utf-8")
    return copy


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.html"
    write_page(path, evaluation())
    return path


def test_the_page_opens_from_disk_and_logs_nothing(page, tmp_path):
    seen = browse(page, tmp_path / "profile")
    assert seen.console == []
    assert seen.dom.count("<figure>") == 2 + 2 * 2 + 2 + 2
    assert "before and after reranking" in seen.dom


@pytest.mark.parametrize(
    ("addition", "scripts", "told"),
    [
        ("<script>throw new Error('broken')</script>", True, "Uncaught Error: broken"),
        ("<script>1</script>", False, "Content Security Policy"),
        ("<img alt='' src='https://example.org/x.png'>", False, "https://example.org/x.png"),
        ("<link rel=stylesheet href='https://example.org/x.css'>", False, "example.org/x.css"),
    ],
    ids=["an error", "a script", "an image", "a style sheet"],
)
def test_a_page_that_runs_or_loads_something_would_be_noticed(
    page, tmp_path, addition, scripts, told
):
    seen = browse(changed(page, addition, scripts=scripts), tmp_path / "profile")
    assert any(told in line for line in seen.console)


@pytest.mark.parametrize(
    "made",
    [evaluation, lambda: with_models(8), lambda: renamed(with_models(1), "x" * 200)],
    ids=["usual", "8 models", "long names"],
)
def test_nothing_is_wider_than_the_window(made, tmp_path):
    found = measured(render_page(made()), tmp_path, 400, 1200)
    assert [one["width"] for one in found] == [400, 1200]
    assert [one["out"] for one in found] == [[], []]
    assert [one["scroll"] for one in found] == [400, 1200]
    assert min(one["smallest"] for one in found) >= 8.5  # pixels: text of pictures


def test_what_is_wider_than_the_window_would_be_noticed(tmp_path):
    (found,) = measured("<p style='width: 500px'>wide</p>", tmp_path, 400)
    assert found["scroll"] > 400
    assert found["out"] == ["P"]


def test_the_browser_finds_every_picture_and_every_row(tmp_path):
    made = evaluation()
    tables = [quality_table(made), difference_table(made), cost_table(made), article_table(made)]
    (found,) = measured(render_page(made), tmp_path, 1200)
    assert found["figures"] == 2 + 2 * 2 + 2 + 2
    assert found["rows"] == sum(len(table.rows) for table in [*tables, *group_tables(made)]) > 10
