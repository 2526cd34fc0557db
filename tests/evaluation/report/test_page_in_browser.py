from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.browser import BROWSER, browse, measured
from tests.evaluation.report.evaluations import renamed, with_agreement, with_models

from rag_rerankers.evaluation.report.page import render_page, write_page
from rag_rerankers.evaluation.report.tables import (
    article_table,
    cost_table,
    difference_table,
    group_tables,
    quality_table,
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


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
