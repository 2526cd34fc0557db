from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from ragdemo.record import Found, Hit, Record
from ragdemo.screen import print_answer, print_found, print_means, progress_bar


def screen(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, emoji=False)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def hit(ident: str, title: str = "", score: float = 0.5) -> Hit:
    return Hit(ident, title or f"Topic > Heading {ident}", f'help("{ident}")', score)


FOUND = Found(
    before=(hit("a", score=0.75), hit("b", score=0.5), hit("c", score=0.25)),
    after=(hit("c", score=0.875), hit("b", score=0.125), hit("a", score=0.0625)),
    seconds={"retrieve": 0.0123, "rerank": 1.5},
)


def rows(printed: list[str]) -> list[list[str]]:
    return [line.split() for line in printed]


def test_candidates_with_movement_and_grades() -> None:
    console = screen()

    print_found(console, FOUND, {"c": 2, "b": 0}, shown=2)

    printed = lines(console)
    assert rows(printed[:-1]) == [
        ["Before:", "the", "first", "2", "of", "Chroma's", "3"],
        ["#", "moved", "cosine", "grade", "passage"],
        ["1", "→", "3", "0.750", "·", "Heading", "a", "a"],
        ["2", "→", "2", "0.500", "0", "Heading", "b", "b"],
        [],
        ["After", "reranking"],
        ["#", "moved", "relevance", "grade", "passage"],
        ["1", "▲", "2", "0.875", "2", "Heading", "c", "c"],
        ["2", "=", "0.125", "0", "Heading", "b", "b"],
    ]
    assert printed[-1] == "retrieve 12 ms, rerank 1500 ms (loading of the models included)"


def test_a_passage_that_fell() -> None:
    console = screen()

    print_found(console, FOUND, {}, shown=3)

    assert ["3", "▼", "2", "0.062", "Heading", "a", "a"] in rows(lines(console))
    assert "grade" not in " ".join(lines(console))


def test_fewer_candidates_than_would_be_shown() -> None:
    console = screen()

    print_found(console, FOUND, {}, shown=10)

    assert lines(console)[0] == "Before: the first 3 of Chroma's 3"


LONG = "A heading that goes on and on, because documentation has such headings as well, alas"


@pytest.mark.parametrize("title", [LONG, "ｗｉｄｅ　ｌｅｔｔｅｒｓ " * 6, "x" * 200])
@pytest.mark.parametrize("width", [60, 80, 132])
def test_one_line_per_passage(title: str, width: int) -> None:
    console = screen(width)
    before = tuple(hit(f"{LONG}/{i}", title, 0.5) for i in range(50))

    print_found(console, Found(before, before[::-1], {"rerank": 1.0}), {f"{LONG}/3": 1}, shown=50)

    printed = lines(console)
    assert len(printed) == 2 + 50 + 1 + 2 + 50 + 1
    assert max(map(cell_len, printed)) <= width
    numbered = [line for line in printed if line.strip()[:1].isdigit()]
    assert [int(line.split()[0]) for line in numbered] == [*range(1, 51), *range(1, 51)]


@pytest.mark.parametrize("title", ["list[int]", "[bold]x[/bold]", "[/]", ":bug: \\", "a [red"])
def test_brackets_are_text(title: str) -> None:
    console = screen()
    strange = hit("p[0]", title)

    print_found(console, Found((strange,), (strange,), {}), {}, shown=1)
    print_answer(console, title, title, [strange])

    printed = "\n".join(lines(console))
    assert printed.count(title) == 5  # two tables, question, answer, source
    assert printed.count("p[0]") == 4  # two tables, and the source by its id and its page


def test_answer_with_its_sources() -> None:
    console = screen()

    print_answer(console, "Why?", "Because.\nOf that.", [hit("a"), hit("b")])

    assert lines(console) == [
        "",
        "Why?",
        "Because.",
        "Of that.",
        '  [1] Heading a  a  help("a")',
        '  [2] Heading b  b  help("b")',
    ]


def test_a_source_stays_on_its_line() -> None:
    console = screen()

    print_answer(console, "Why?", "So.", [Hit("notes.md#1", "notes.md > Top", "/" + "x" * 99, 0)])

    assert lines(console)[-1].startswith("  [1] Top  notes.md#1  /xxx")
    assert lines(console)[-1].endswith("…")
    assert len(lines(console)) == 4


def record(kind: str, before: float, after: float, seconds: float) -> Record:
    return Record(
        id="q",
        question="Why?",
        kind=kind,
        grades={"a": 1},
        before=(),
        after=(),
        measures_before={"MRR@10": before, "nDCG@10": before, "P@5": 0.2},
        measures_after={"MRR@10": after, "nDCG@10": after, "P@5": 0.4},
        seconds={"rerank": seconds},
    )


def test_means_of_all_and_of_each_kind() -> None:
    console = screen()
    records = [
        record("paraphrase", 0.5, 0.75, 0.1),
        record("paraphrase", 0.25, 0.25, 0.2),
        record("multi-passage", 0.5, 0.25, 0.4),
        record("keyword-trap", 0.25, 1.0, 0.8),
    ]

    print_means(console, records)

    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines(console)]
    assert [row for row in cells if row] == [
        ["keyword-trap", "1", "0.250 → 1.000", "0.250 → 1.000", "0.200 → 0.400"],
        ["multi-passage", "1", "0.500 → 0.250", "0.500 → 0.250", "0.200 → 0.400"],
        ["paraphrase", "2", "0.375 → 0.500", "0.375 → 0.500", "0.200 → 0.400"],
        ["all", "4", "0.375 → 0.562", "0.375 → 0.562", "0.200 → 0.400"],
    ]
    assert lines(console)[-2:] == [
        "nDCG@10 rose for 2 questions, fell for 1, stayed for 1.",
        "Median time to rerank: 300 ms.",
    ]
    assert max(map(cell_len, lines(console))) <= 80


def test_rounding_is_no_change() -> None:
    console = screen()
    same = record("paraphrase", 0.5, 0.5, 0.1)
    noise = {**same.measures_after, "nDCG@10": 0.5 + 1e-12}

    print_means(console, [replace(same, measures_after=noise)])

    assert "rose for 0 questions, fell for 0, stayed for 1." in "\n".join(lines(console))


def test_a_finished_bar_is_one_line() -> None:
    console = screen()
    with progress_bar(console) as progress:
        progress.add_task("counting", total=2)
        progress.advance(progress.task_ids[0], 2)

    assert len(lines(console)) == 1
    assert lines(console)[0].startswith("counting ")
    assert "100%" in lines(console)[0]
