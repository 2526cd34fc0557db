from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from math import log2
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rag_rerankers import RerankError
from ragdemo import app
from ragdemo.app import run
from ragdemo.models import AnswerError, Endpoint
from ragdemo.passages import Passage
from ragdemo.record import Found, Hit
from ragdemo.search import Settings

# Ten passages p0..p9, "word 0".."word 9"; the questions mean some of them.
PASSAGES = [Passage(f"p{n}", f"Top > P{n}", f"P{n}\n\nword {n} here", "help") for n in range(10)]
JUDGED: dict[str, dict[int, int]] = {
    "first?": {0: 2, 4: 1},
    "second?": {9: 2},
    "third?": {1: 1, 2: 2},
}
KINDS = ("paraphrase", "keyword-trap", "multi-passage")


def questions(path: Path, judged: dict[str, dict[int, int]] = JUDGED) -> Path:
    lines = []
    for number, (question, grades) in enumerate(judged.items()):
        judgments = [
            {"passage": f"p{n}", "grade": grade, "quote": f"word {n} here"}
            for n, grade in grades.items()
        ]
        fields = {"id": f"q{number}", "question": question, "kind": KINDS[number], "answer": "x"}
        lines.append(json.dumps({**fields, "judgments": judgments}))
    path.write_text("\n".join(lines))
    return path


class Chain:
    """Chroma's order is p0..p9; the reranker turns it round."""

    settings: Settings
    asked: list[str]
    failure: BaseException | None = None

    def __init__(self, settings: Settings, passages: Sequence[Passage], _: Console) -> None:
        type(self).settings = settings
        type(self).asked = []
        self._hits = [Hit(p.id, p.title, p.source, 0.5) for p in passages]

    def search(self, question: str) -> Found:
        seconds = {"retrieve": 0.25, "rerank": 0.5}
        return Found(tuple(self._hits), tuple(reversed(self._hits)), seconds)

    def answer(self, question: str, endpoint: Endpoint) -> tuple[str, list[Hit]]:
        self.asked.append(question)
        if self.failure is not None and len(self.asked) > 1:
            raise self.failure
        return f" {endpoint.model} says {question} ", self._hits[:5]


@pytest.fixture
def demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setattr(app, "QUESTIONS", questions(tmp_path / "questions.jsonl"))
    monkeypatch.setattr(app, "python_docs", lambda: PASSAGES)

    def start(*arguments: str, chain: Any = Chain) -> tuple[int, str]:
        status = run("Test", chain, ["--output", str(tmp_path / "out"), *arguments])
        return status, capsys.readouterr().out

    return start


URL = ("--llm-url", "http://127.0.0.1:9/v1", "--llm-model", "m")


def records(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").open("rb")]


def test_all_writes_measures_by_hand(demo: Callable[..., Any], tmp_path: Path) -> None:
    status, out = demo("--all")

    assert status == 0
    first, second, third = records(tmp_path)
    # Grade 2 at rank 1 and grade 1 at rank 5; turned round at ranks 10 and 6.
    ideal = 2 + 1 / log2(3)
    assert first["measures_before"] == pytest.approx(
        {"MRR@10": 1, "nDCG@10": (2 + 1 / log2(6)) / ideal, "P@5": 0.4}
    )
    assert first["measures_after"] == pytest.approx(
        {"MRR@10": 1 / 6, "nDCG@10": (1 / log2(7) + 2 / log2(11)) / ideal, "P@5": 0}
    )
    assert second["measures_before"] == pytest.approx(
        {"MRR@10": 1 / 10, "nDCG@10": 1 / log2(11), "P@5": 0}
    )
    assert second["measures_after"] == pytest.approx({"MRR@10": 1, "nDCG@10": 1, "P@5": 0.2})
    assert third["measures_before"]["MRR@10"] == pytest.approx(1 / 2)
    assert third["measures_after"]["MRR@10"] == pytest.approx(1 / 8)
    assert [hit["passage"] for hit in third["before"]] == [f"p{n}" for n in range(10)]
    assert [hit["passage"] for hit in third["after"]] == [f"p{9 - n}" for n in range(10)]
    assert first["grades"] == {"p0": 2, "p4": 1}
    assert first["seconds"] == {"retrieve": 0.25, "rerank": 0.5}
    assert Chain.asked == []
    # The mean of 1, 1/10, 1/2, and of 1/6, 1, 1/8.
    assert "0.533 → 0.431" in out
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert ">0.5333<" in page
    assert ">0.4306<" in page
    assert f"written: {tmp_path}" in out.replace("\n", "")


def test_answers_are_spread_over_the_questions(demo: Callable[..., Any], tmp_path: Path) -> None:
    status, out = demo("--all", "--answers", "2", *URL)

    assert status == 0
    assert Chain.asked == ["first?", "second?"]
    assert [record["answer"] for record in records(tmp_path)] == [
        "m says first?",
        "m says second?",
        None,
    ]
    assert ["answer" in record["seconds"] for record in records(tmp_path)] == [True, True, False]
    assert "m says second?" in out
    assert "is tiny" not in out


def test_more_answers_than_questions(demo: Callable[..., Any], tmp_path: Path) -> None:
    assert demo("--all", "--answers", "99", *URL)[0] == 0
    assert Chain.asked == list(JUDGED)


FAILURES = [
    (AnswerError("gone away"), 1, "AnswerError: gone away"),
    (RerankError("no model"), 1, "RerankError: no model"),
    (KeyboardInterrupt(), 130, "interrupted"),
]


@pytest.mark.parametrize(("failure", "status", "said"), FAILURES)
def test_a_failure_costs_no_record(
    demo: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    status: int,
    said: str,
) -> None:
    monkeypatch.setattr(Chain, "failure", failure)

    got, out = demo("--all", "--answers", "3", *URL)

    assert got == status
    assert out.rstrip().endswith(said)
    assert [record["answer"] for record in records(tmp_path)] == ["m says first?", None, None]
    assert "first?" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_a_bug_is_not_hidden(
    demo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Chain, "failure", ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        demo("--all", "--answers", "3", *URL)

    assert len(records(tmp_path)) == 3


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_an_endpoint_where_nobody_listens(demo: Callable[..., Any], tmp_path: Path) -> None:
    from openai import OpenAI

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    class Asking(Chain):
        def answer(self, question: str, endpoint: Endpoint) -> tuple[str, list[Hit]]:
            client = OpenAI(base_url=endpoint.url, api_key="x", max_retries=0)
            client.models.list()
            raise AssertionError

    url = f"http://127.0.0.1:{port}/v1"
    status, out = demo("--all", "--answers", "1", "--llm-url", url, chain=Asking)

    assert status == 1
    assert f"AnswerError: no answer from 'default' at {url} (Connection error.)" in " ".join(
        out.split()
    )
    assert len(records(tmp_path)) == 3
    assert (tmp_path / "out" / "report.html").exists()


def test_one_judged_question_shows_its_grades(demo: Callable[..., Any]) -> None:
    status, out = demo("--question", "second?", *URL)

    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["10", "→", "1", "0.500", "2", "P9", "p9"] in rows
    assert ["1", "▲", "9", "0.500", "2", "P9", "p9"] in rows
    assert "m says second?" in out
    assert "Test: Chroma top 50 → minilm-maxsim → top 5 → LLM" in out


def test_settings(demo: Callable[..., Any], tmp_path: Path) -> None:
    demo("--question", "x", "--candidates", "7", "--model", "[/red]", *URL)

    python = Chain.settings
    assert (python.model, python.candidates) == ("[/red]", 7)
    assert python.chroma == tmp_path / "out" / "chroma"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("some words")
    collections = {python.collection}
    for folder in (tmp_path / "a", tmp_path / "b", tmp_path / "b" / ".." / "b"):
        demo("--question", "x", "--docs", str(folder), *URL)
        collections.add(Chain.settings.collection)
    assert len(collections) == 3  # one for each corpus, however its folder is written


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of the arguments --question --all is required"),
        (["--all", "--question", "x"], "not allowed with argument"),
        (["--all", "--answers", "-1"], "--answers must be 0 or more, not -1"),
        (["--all", "--answers", "two"], "invalid int value: 'two'"),
        (["--question", "x", "--answers", "1"], "--answers goes with --all"),
        (["--all", "--docs", "."], "--all needs the judged questions"),
        (["--all", "--candidates", "4"], "--candidates must be at least 5, not 4"),
        (["--question", " "], "--question needs some words, not ' '"),
        (["--question", "x", "--llm-url", "localhost:8080"], "not 'localhost:8080'"),
        (["--question", "x", "--llm-url", "http://h:port/v1"], "not 'http://h:port/v1'"),
        (["--question", "x", "--llm-url", "http://[::1"], "not 'http://[::1'"),
        (["--question", "x", "--llm-url", ""], "must look like http://"),
        (["--question", "x", "--llm-model", "m"], "--llm-model goes with --llm-url"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run("Test", Chain, arguments)

    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_bytes_that_are_no_text(demo: Callable[..., Any]) -> None:
    assert demo("--question", "what is \udcff?", *URL)[0] == 0
    assert Chain.asked == ["what is ??"]


def test_a_missing_folder(demo: Callable[..., Any], tmp_path: Path) -> None:
    status, out = demo("--question", "x", "--docs", str(tmp_path / "nowhere"))

    assert status == 1
    assert "CorpusError: document folder" in out
    assert "does not exist" in " ".join(out.split())


def test_a_folder_without_documents(demo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"\xff\xd8")

    status, out = demo("--question", "x", "--docs", str(tmp_path / "photos"))

    assert status == 1
    assert "no document found" in " ".join(out.split())
    assert ".pdf" in out


def test_an_output_that_is_a_file(demo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")

    status, out = demo("--all")

    assert status == 1
    assert "IndexFolderError: cannot make the folder" in out
    assert (tmp_path / "out").read_text() == "precious"


def test_questions_about_another_documentation(
    demo: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "python_docs", lambda: [Passage("p0", "P", "Other words", "help")])

    status, out = demo("--all")

    assert status == 1
    assert "JudgmentError: no question of" in out
    assert "are left out" in out


def test_a_chroma_folder_of_something_else(demo: Callable[..., Any], tmp_path: Path) -> None:
    from ragdemo.index import open_chroma

    chroma = tmp_path / "out" / "chroma"
    chroma.mkdir(parents=True)
    (chroma / "chroma.sqlite3").write_bytes(b"no database\n" * 100)

    class Opening(Chain):
        def __init__(
            self, settings: Settings, passages: Sequence[Passage], console: Console
        ) -> None:
            open_chroma(settings.chroma)

    status, out = demo("--all", chain=Opening)

    assert status == 1
    assert "IndexFolderError: Chroma cannot use the files in" in out
    assert "remove that folder" in " ".join(out.split())
