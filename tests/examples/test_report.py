from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ragdemo.record import Hit, Record
from ragdemo.report import write_report

EVIL = "<script>alert(1)</script>\"'&amp; {{ 7 * 7 }} <img src=x onerror=alert(1)>"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Checks that tags match; keeps tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.cells: list[str] = []
        self.text = ""
        self.style = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            self.style += data
        else:
            self.text += data


def hits(ids: str, title: str = "Title") -> tuple[Hit, ...]:
    return tuple(Hit(ident, f"{title} {ident}", "source", 0.625) for ident in ids)


def record(ident: str, kind: str, before: float, after: float) -> Record:
    return Record(
        id=ident,
        question=f"What about {ident}?",
        kind=kind,
        grades={"b": 2, "a": 0},
        before=hits("abc"),
        after=hits("bac"),
        measures_before={"MRR@10": before, "nDCG@10": before / 2, "P@5": 0.2},
        measures_after={"MRR@10": after, "nDCG@10": after / 2, "P@5": 0.2},
        seconds={"retrieve": 0.01, "rerank": 0.1 * int(ident[1:])},
    )


RECORDS = [
    record("q1", "paraphrase", 0.25, 0.5),
    record("q2", "paraphrase", 0.5, 0.25),
    record("q4", "keyword-trap", 0.5, 0.75),
    record("q8", "keyword-trap", 0.25, 1.0),
]


def page(path: Path, records: list[Record], **words: str) -> tuple[Page, str]:
    write_report(path, records, **{"model": "some-model", "corpus": "some files", **words})
    html = path.read_text("utf-8")
    return Page(html), html


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page(tmp_path_factory.mktemp("report") / "report.html", RECORDS)[0]


def test_numbers_are_the_means_of_the_records(plain: Page) -> None:
    text = " ".join(plain.text.split())

    # (.25 + .5 + .5 + .25) / 4 and (.5 + .25 + .75 + 1) / 4; nDCG is half of that.
    assert "MRR@10 0.375 → 0.625 +0.250" in text.replace("MRR@100", "MRR@10 0")
    assert "nDCG@10 0.188 → 0.312 +0.125" in text.replace("nDCG@100", "nDCG@10 0")
    assert "4 questions on some files; 3 candidates each" in text
    assert "300 ms" in text  # the median of 100, 200, 400 and 800
    assert "retrieval 10 ms" in text
    assert "answer" not in text[: text.index("Every question")].replace("answer the", "")


def test_numbers_of_each_kind(plain: Page) -> None:
    text = " ".join(plain.text.split())

    assert "keyword-trap2 0.375 → 0.8750.188 → 0.4380.200 → 0.200" in text
    assert "paraphrase2 0.375 → 0.3750.188 → 0.1880.200 → 0.200" in text


def test_every_question_with_its_passages(plain: Page) -> None:
    assert [f"What about q{n}?" in plain.text for n in (1, 2, 4, 8)] == [True] * 4
    assert "nDCG@10 0.12 → 0.25" in plain.text
    text = " ".join(plain.text.split())
    # Rank after, rank before, grade, title and id, relevance.
    assert "1 2 2 Title bb0.625 2 1 0 Title aa0.625 3 3 · Title cc0.625" in text


def test_nothing_is_loaded_and_nothing_runs(plain: Page) -> None:
    forbidden = {"script", "link", "img", "iframe", "object", "embed", "base", "video", "form"}
    assert not forbidden & set(plain.tags)
    loading = {"src", "srcset", "href", "xlink:href", "data", "action", "poster", "background"}
    used = [value for name, value in plain.attributes if name in loading]
    assert used  # the clip paths and markers of the plots
    assert all(value.startswith("#") for value in used)
    assert not [name for name, _ in plain.attributes if name.startswith("on")]
    styles = plain.style + " ".join(value for name, value in plain.attributes if name != "xmlns")
    assert "@import" not in styles
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", styles))


def test_ids_are_unique_in_the_page(plain: Page) -> None:
    ids = [value for name, value in plain.attributes if name == "id"]

    assert plain.tags.count("svg") == 4
    assert len(ids) == len(set(ids)) > 4


def test_hostile_text_stays_text(tmp_path: Path, plain: Page) -> None:
    evil = replace(
        RECORDS[0],
        question=EVIL,
        answer=f"{EVIL}\nsecond line",
        seconds={"retrieve": 0.01, "rerank": 0.1, "answer": 2.5},
        after=tuple(Hit(ident, EVIL, EVIL, 0.5) for ident in "bac"),
    )
    read, html = page(tmp_path / "report.html", [evil, *RECORDS[1:]], model=EVIL, corpus=EVIL)

    # One paragraph more, for the answer, and otherwise the same elements as without malice.
    assert sorted(read.tags) == sorted([*plain.tags, "p"])
    assert read.text.count(EVIL) == 1 + 1 + 2 + 1 + 3 + 1  # h1, lead twice, question, ...
    assert "<script" not in html
    assert f"{EVIL}\nsecond line" in read.text
    assert "answer 2.5 s" in read.text


@pytest.mark.parametrize("text", ["naïve 🐍 日本語 \u202e", "null \x00?", "]]> --> </table>"])
def test_any_text(tmp_path: Path, text: str) -> None:
    read, _ = page(tmp_path / "report.html", [replace(RECORDS[0], question=text)])

    assert text.replace("\x00", "") in read.text.replace("\x00", "")


def test_half_a_surrogate_pair_is_written_as_a_reference(tmp_path: Path) -> None:
    question = "before \ud800 after"

    read, html = page(tmp_path / "report.html", [replace(RECORDS[0], question=question)])

    assert "before &#55296; after" in html
    assert "before \ufffd after" in read.text


def test_passages_without_candidates(tmp_path: Path) -> None:
    empty = replace(RECORDS[0], before=(), after=())

    assert "0 candidates each" in page(tmp_path / "report.html", [empty])[0].text
