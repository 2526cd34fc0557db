"""What ``docs/results.md`` is made with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.kinds import KINDS
from tests.samples import MIXED, QUERY, random_texts

jinja2 = pytest.importorskip("jinja2", reason="needs the extra 'eval'")

from benchmarks import results  # noqa: E402
from benchmarks.encoded_once import EncodedOnce  # noqa: E402

LATE = [kind for kind in KINDS if kind.family == "late-interaction"]


@pytest.mark.parametrize("kind", LATE, ids=str)
def test_encoding_each_text_once_changes_no_score(loader, kind):
    scorer = loader(kind)
    once = EncodedOnce(scorer)
    texts = [*MIXED, *random_texts(7, 10)]
    for query in (QUERY, "", "rust"):
        for chosen in (texts, texts[::-1], texts[:1], [texts[0]] * 3):
            expected = scorer.score(query, chosen)
            assert once.score(query, chosen) == pytest.approx(expected, abs=1e-5)


def test_the_published_page_is_the_one_that_its_figures_make(tmp_path, monkeypatch):
    published = results.PAGE.read_text("utf-8")
    monkeypatch.setattr(results, "PAGE", tmp_path / "results.md")
    results.render()
    assert (tmp_path / "results.md").read_text("utf-8") == published


def test_every_figure_of_the_page_stands_in_the_measurements():
    figures = json.loads(Path(results.FIGURES).read_text("utf-8"))
    page = results.PAGE.read_text("utf-8")
    figures.pop("cost", None)
    for found in figures.values():
        first, after, *_ = found["systems"]
        assert after == f"{results.MODEL}, float32"
        for means in (found["systems"][first], found["systems"][after]):
            assert f"{means['nDCG@10']:.3f}".removeprefix("0") in page
