from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from tests.evaluation.report.evaluations import (
    MEASURE,
    difference,
    renamed,
    small,
    with_agreement,
)
from tests.evaluation.report.parsed import Page

from rag_rerankers.evaluation import Collection, Evaluation, Run, System
from rag_rerankers.evaluation.problems import Problem
from rag_rerankers.evaluation.report.page import render_page, write_page

EVIL = "<script>alert(1)</script>\"'&amp; {{ 7 * 7 }} $x_1$ <img src=x onerror=alert(1)>]]>"


def page(evaluation: Evaluation, **options: int) -> Page:
    return Page(render_page(evaluation, **options))


DRAWN = {"path", "text", "g", "use", "defs", "title"}


@cache
def usual() -> Page:
    return page(small())


@cache
def plain() -> Page:
    return page(renamed(small(), "name"))


@cache
def full() -> Page:
    """Two models, all pairs, groups."""
    groups = {"kind": {"long": ["q2", "q3"], "short": ["q1", "q4"]}}
    return page(replace(with_agreement(), groups=groups))


def structure(page: Page) -> list[str]:
    """The tags but those of drawings, which make room for long names."""
    return [tag for tag in page.tags if tag not in DRAWN]


def without_candidates() -> Evaluation:
    old = small()
    nothing = Run("bm25", dict.fromkeys(old.collection.queries, ()))
    zero = {MEASURE: dict.fromkeys(old.collection.queries, 0.0)}
    return replace(
        old,
        first=replace(old.first, run=nothing, values=zero),
        models=(replace(old.models[0], run=nothing, values=zero, cost=None),),
        differences=(difference("mine", before=0.0, after=0.0, wins=0, losses=0, ties=4),),
    )


def one_query() -> Evaluation:
    old = small()

    def cut(system: System) -> System:
        return replace(system, values={MEASURE: {"q1": system.values[MEASURE]["q1"]}})

    collection = old.collection
    return replace(
        old,
        collection=replace(collection, queries={"q1": "one?"}, qrels={"q1": {"b": 2}}),
        first=cut(old.first),
        models=(cut(old.models[0]),),
        differences=(difference("mine", wins=1, losses=0, ties=0),),
    )


def deep() -> Evaluation:
    old = small()
    ids = [f"d{n}" for n in range(1000)]
    queries = old.collection.queries
    return replace(
        old,
        top_k=1000,
        collection=replace(old.collection, qrels={id_: {"d999": 1, "d0": 1} for id_ in queries}),
        first=replace(old.first, run=Run("bm25", dict.fromkeys(queries, ids))),
        models=(replace(old.models[0], run=Run("mine", dict.fromkeys(queries, ids[::-1]))),),
    )


def test_the_page_leads_with_a_sentence_for_every_model():
    words = usual().words
    sentence = (
        "mine takes MRR@10 from .875 to .812 (−.062, 95 % interval −.400 to +.300, p = .750); "
        "this may be chance: 1 query better, 1 worse, 2 the same."
    )
    assert sentence in words
    assert words.index(sentence) < words.index("Overview")
    assert ".875 → .812 −.062" in words


def test_tables_are_tables():
    shown = usual()
    assert ["", "MRR@10"] in shown.cells
    assert ["bm25", "0.8750"] in shown.cells
    assert ["mine", "0.8125"] in shown.cells
    row = ["mine vs bm25", "-0.0625", "[-0.4000, +0.3000]", "0.750", "1 / 1 / 2"]
    assert row in shown.cells
    assert ["ms per query, p50", "20.0"] in shown.cells
    counts = {tag: shown.tags.count(tag) for tag in ("table", "caption", "thead", "tbody")}
    assert counts == dict.fromkeys(counts, 4)
    scopes = [value for name, value in shown.attributes if name == "scope"]
    # Headings: quality 1, differences 4, cost 1, the article's 4; an empty corner is none.
    assert scopes.count("col") == 10
    assert scopes.count("row") == len(shown.cells) - 4


def test_cases_show_ranks_grades_and_what_stands_first():
    words = usual().words
    gained = words[words.index("Gained most in MRR@10") : words.index("Lost most in MRR@10")]
    lost = words[words.index("Lost most in MRR@10") : words.index("Do they agree?")]
    assert "one? .50 → 1.00 grade 2 b ▲ rank 2 → 1" in gained
    assert "First before not judged a text of a First after grade 2 b text of b" in gained
    assert "four? 1.00 → .25 grade 1 b ▼ rank 1 → 4" in lost
    assert "three?" not in gained + lost


def test_relevant_passages_that_were_not_found_are_named_in_cases():
    old = small()
    qrels = {**old.collection.qrels, "q1": {"b": 2, "z": 1}}
    shown = page(replace(old, collection=replace(old.collection, qrels=qrels)))
    assert "grade 1 z not among the candidates" in shown.words


def test_as_many_cases_are_shown_as_asked_for():
    evaluation = small()
    ids = [f"q{n}" for n in range(30)]
    before, after = dict.fromkeys(ids, 0.5), {id_: n / 29 for n, id_ in enumerate(ids)}
    evaluation = replace(
        evaluation,
        first=replace(evaluation.first, values={MEASURE: before}),
        models=(replace(evaluation.models[0], values={MEASURE: after}),),
    )
    assert page(evaluation, cases=3).tags.count("details") == 6
    assert page(evaluation).tags.count("details") == 20
    assert page(evaluation, cases=0).tags.count("details") == 0
    with pytest.raises(ValueError, match="cases must be 0 or more, not -1"):
        render_page(evaluation, cases=-1)


def test_a_passage_is_shortened_to_about_300_characters():
    old = small()
    documents = {**old.collection.documents, "b": "word " * 400}
    shown = page(replace(old, collection=replace(old.collection, documents=documents)))
    (text,) = set(re.findall(r"(?:word )+word…", shown.words))
    assert 280 <= len(text) <= 300


def test_a_document_without_a_text_is_no_error():
    old = small()
    shown = page(replace(old, collection=replace(old.collection, documents={})))
    assert "(the data have no text of it)" in shown.text


def test_the_only_pair_is_a_sentence_and_several_are_pictures():
    shown = usual()
    assert "bm25 and mine share 62 % of their first 10 passages" in shown.words
    assert "Kendall's tau of their orders is .25" in shown.words
    assert shown.tags.count("figure") == 4
    assert "passages and put the same one first" not in full().words


def test_groups_have_a_picture_for_each_model_and_a_table():
    shown = full()
    assert shown.tags.count("figure") == 2 + 2 * 2 + 2 + 2
    assert "In brackets: queries." in shown.words
    assert ["short", "2", "0.7500", "0.6250", "0.6250"] in shown.cells


def test_problems_of_the_data_are_counted_with_examples():
    problem = Problem("a malformed line", "skips it", 1207, ("f.tsv:3: 'x'", "f.tsv:8: 'y'"))
    old = small()
    words = page(replace(old, collection=replace(old.collection, problems=(problem,)))).words
    parts = (
        "a malformed line (it skips it)",
        "1,207",
        "f.tsv:3: 'x'",
        "f.tsv:8: 'y'",
        "1,205 more",
    )
    assert [part for part in parts if part not in words] == []
    assert "Problems of the data" not in usual().words


def test_it_says_how_to_read_intervals_and_where_published_columns_come_from():
    words = usual().words
    assert "95 % interval says" in words
    assert "p-value says" in words
    assert "published values. They come from other data and another machine" in words
    assert "python3.x" in words


def test_headings_come_in_order_and_links_lead_somewhere():
    shown = full()
    assert (3, "Queries behind it") in shown.headings
    levels = [level for level, _ in shown.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(text.strip() for _, text in shown.headings)
    ids = [value for name, value in shown.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    linked = [value for name, value in shown.attributes if name == "href"]
    assert all(value.startswith("#") for value in linked)
    named = [value for name, value in shown.attributes if name == "aria-labelledby"]
    assert {value.removeprefix("#") for value in linked} | set(named) <= set(ids)
    assert "lang" in dict(shown.attributes)


def test_every_picture_has_a_role_and_a_name():
    shown = full()
    assert shown.tags.count("svg") == shown.attributes.count(("role", "img")) == 10
    assert len(re.findall(r'<svg [^>]*aria-label="[^"]{20,}"', shown.html)) == 10


def test_nothing_is_loaded_and_nothing_runs():
    shown = page(renamed(small(), "https://example.org/x.js"))
    assert not {"script", "link", "img", "iframe", "object", "image", "base"} & set(shown.tags)
    assert not {"src", "srcset", "xlink:href"} & {name for name, _ in shown.attributes}
    assert "url(" not in shown.style
    assert "@import" not in shown.style
    assert (
        "default-src 'none'; style-src 'unsafe-inline'" in dict(shown.attributes).values()
        or (
            "content",
            "default-src 'none'; style-src 'unsafe-inline'",
        )
        in shown.attributes
    )


def test_texts_are_shown_and_never_become_markup():
    evil = page(renamed(small(), EVIL))
    assert structure(evil) == structure(plain())
    assert {name for name, _ in evil.attributes} == {name for name, _ in plain().attributes}
    assert evil.style == plain().style
    assert EVIL + "a" in evil.text
    assert "▲ 1 better" in evil.text


@pytest.mark.parametrize(
    "name",
    [
        "panda \ud83d bear \udc00",
        "שלום \u202eabc עולם",
        "x" * 200,
        "a\x00b\x1b[1m",
        "中文 🐼" * 9,
        "$",
    ],
    ids=["surrogates", "right to left", "200 characters", "controls", "wide", "dollar"],
)
def test_names_and_texts_may_hold_anything(name, tmp_path):
    path = tmp_path / "page.html"
    write_page(path, renamed(small(), name))
    text = path.read_bytes().decode("utf-8")
    assert re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", text) is None
    shown = Page(text)
    assert structure(shown) == structure(plain())
    written = re.sub("[\x00-\x08\x1b\ud800-\udfff]", "\ufffd", name)
    assert f"{written}a" in shown.text


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (one_query, "for one query, which says nothing about others"),
        (without_candidates, "mine leaves MRR@10 at .000: all 4 queries are the same."),
        (deep, "the first 1,000 candidates of bm25"),
        (
            lambda: replace(small(), models=(), differences=(), agreement=()),
            "bm25 alone has MRR@10 .875: nothing was reranked.",
        ),
    ],
    ids=["one query", "no candidates", "top 1000", "no model"],
)
def test_unusual_evaluations_have_a_page_too(make, told):
    assert told in page(make()).words


def test_without_costs_there_is_no_latency():
    old = small()
    shown = page(replace(old, models=(replace(old.models[0], cost=None),)))
    assert "ms per query" not in shown.words
    assert "MRR@10 of each model" in shown.words


def test_the_same_evaluation_gives_the_same_bytes_in_every_process(tmp_path):
    code = (
        "from pathlib import Path\n"
        "from tests.evaluation.report.evaluations import with_agreement\n"
        "from rag_rerankers.evaluation.report.page import write_page\n"
        "write_page(Path('{}'), with_agreement())\n"
    )
    path = tmp_path / "other.html"
    subprocess.run(
        [sys.executable, "-c", code.format(path.as_posix())],
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(filter(None, ["", *sys.path]))},
    )
    assert path.read_text(encoding="utf-8") == render_page(with_agreement())


def test_thousands_of_queries_and_three_models_stay_small_and_fast():
    draw = random.Random(0)
    ids = [f"passage-{n}" for n in range(500)]
    text = "a word of the question that is a little longer than most of them are "
    queries = {f"query-{n}": f"{text}{n}?" for n in range(7000)}
    first = {id_: draw.sample(ids, 30) for id_ in queries}
    old = small()

    def system(name: str) -> System:
        run = {id_: draw.sample(ranking, 30) for id_, ranking in first.items()}
        values = {MEASURE: {id_: draw.random() for id_ in queries}}
        return replace(old.models[0], name=name, run=Run(name, run), values=values)

    models = tuple(system(name) for name in ("one", "two", "three"))
    qrels = {id_: dict.fromkeys(draw.sample(ranking, 3), 1) for id_, ranking in first.items()}
    big = replace(
        old,
        top_k=30,
        collection=Collection("big", dict.fromkeys(ids, text * 20), queries, qrels),
        first=replace(system("bm25"), run=Run("bm25", first), cost=None),
        models=models,
        differences=tuple(difference(model.name) for model in models),
        agreement=(),
    )
    started = time.process_time()
    shown = render_page(big)
    assert time.process_time() - started < 8
    assert len(shown.encode()) < 5_000_000


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_have_the_contrast_that_wcag_aa_asks_for(theme):
    blocks = re.findall(r":root \{([^}]*)\}", usual().style)
    assert len(blocks) == 2
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", blocks[theme]))
    texts = ["ink", "soft", "blue", "amber-ink", *(f"m{place}" for place in range(1, 9))]
    for ground in ("paper", "wash"):
        found = {name: contrast(colours[name], colours[ground]) for name in texts}
        assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}
    marks = {name: contrast(colours[name], colours["paper"]) for name in ("grey", "amber", "blue")}
    assert {name: ratio for name, ratio in marks.items() if ratio < 3} == {}
    assert contrast(colours["ink"], colours["line"]) > 4.5
    assert contrast(colours["ink"], colours["blue-wash"]) > 4.5
