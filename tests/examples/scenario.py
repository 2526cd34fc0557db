"""What both demos must do on a small folder, told once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import chromadb
import pytest
from sentence_transformers import SentenceTransformer
from tests.examples.chat_server import ChatServer

from rag_rerankers import Reranker
from ragdemo import app
from ragdemo.app import run
from ragdemo.folder import folder_passages
from ragdemo.models import embedding_folder
from ragdemo.passages import Passage

QUESTION = "How long may I keep a borrowed book?"

FILES = {
    "loans.md": "# Loans\n\nEvery book goes home with you for three weeks, then it is due.\n",
    "fines.txt": "Who brings a book back late pays ten cents for every day.\n",
    "keep.rst": "Keep\n====\n\nThe keep of the castle holds a book that is a thousand years old.\n",
    "rooms.html": "<h1>Rooms</h1><p>How long may I keep a room? Rooms are free for two hours.</p>",
    "members.md": "# Members\n\nA card costs nothing below the age of eighteen.\n",
    "music.txt": "Records and scores are upstairs, beside the piano.\n",
    "renewal.md": "# Renewal\n\nYou can extend a loan twice unless somebody waits for the title.\n",
}


@dataclass
class Demo:
    """One of the two scripts, over one folder."""

    framework: str
    search: Any
    docs: Path
    output: Path
    capsys: pytest.CaptureFixture[str]
    embedded: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def over(
        cls,
        script: ModuleType,
        name: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[Demo]:
        docs = tmp_path / "docs"
        docs.mkdir()
        for file, text in FILES.items():
            (docs / file).write_text(text)
        demo = cls(name, getattr(script, f"{name}Search"), docs, tmp_path / "out", capsys)
        real = SentenceTransformer.encode

        def encode(self: SentenceTransformer, texts: Any, *args: Any, **options: Any) -> Any:
            these = [texts] if isinstance(texts, str) else texts
            demo.embedded += [flat(text) for text in these]  # as LangChain does
            return real(self, texts, *args, **options)

        for method in ("encode", "encode_document"):
            monkeypatch.setattr(SentenceTransformer, method, encode)
        yield demo

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit status and what was printed."""
        self.embedded.clear()
        status = run(self.framework, self.search, [*arguments, "--output", str(self.output)])
        return status, self.capsys.readouterr().out

    def ask(self, llm: ChatServer) -> tuple[int, str]:
        arguments = ["--question", QUESTION, "--docs", str(self.docs)]
        return self.run(*arguments, "--llm-url", llm.url, "--llm-model", "oracle")

    @property
    def stored(self) -> dict[str, str]:
        """Id to text of all entries in Chroma."""
        client = chromadb.PersistentClient(
            str(self.output / "chroma"), chromadb.config.Settings(anonymized_telemetry=False)
        )
        [collection] = client.list_collections()
        found = collection.get()
        return dict(zip(found["ids"], found["documents"] or [], strict=True))


def flat(text: str) -> str:
    return " ".join(text.split())


@cache
def model() -> SentenceTransformer:
    return SentenceTransformer(str(embedding_folder()), device="cpu")


def cosines(question: str, passages: list[Passage]) -> dict[str, float]:
    """Id to cosine similarity, from sentence-transformers itself."""
    query, *texts = model().encode(
        [question, *(passage.text for passage in passages)], normalize_embeddings=True
    )
    return {p.id: float(query @ text) for p, text in zip(passages, texts, strict=True)}


def by_cosine(question: str, passages: list[Passage]) -> list[str]:
    """The order that the embeddings alone give."""
    scores = cosines(question, passages)
    return sorted(scores, key=lambda ident: -scores[ident])


@cache
def reranker() -> Reranker:
    return Reranker("minilm-maxsim")


def by_reranker(question: str, passages: list[Passage]) -> list[str]:
    """The order that the reranker gives, without any framework."""
    hits = reranker().rank(question, [passage.text for passage in passages])
    return [passages[hit.index].id for hit in hits]


def the_best_five_reach_the_llm_in_order(demo: Demo, llm: ChatServer) -> None:
    passages = folder_passages(demo.docs)
    order = by_reranker(QUESTION, passages)
    assert order != by_cosine(QUESTION, passages)  # or nothing would be shown

    status, out = demo.ask(llm)

    assert status == 0
    [prompt] = llm.prompts
    assert QUESTION in prompt
    bodies = {p.id: p.text.removeprefix(f"{p.title}\n\n") for p in passages}
    places = [prompt.find(bodies[ident]) for ident in order]
    assert -1 < places[0] < places[1] < places[2] < places[3] < places[4]
    assert places[5:] == [-1, -1]
    assert llm.requests[0]["model"] == "oracle"
    # The answer, then its sources in the same order.
    after = out[out.index("Forty-two.") :].splitlines()[1:6]
    assert [line.split()[0] for line in after] == ["[1]", "[2]", "[3]", "[4]", "[5]"]
    assert [ident in line for ident, line in zip(order, after, strict=False)] == [True] * 5


def both_orders_are_shown(demo: Demo, llm: ChatServer) -> None:
    passages = folder_passages(demo.docs)

    _, out = demo.ask(llm)

    before, _, after = out.partition("After reranking")
    assert "Before: the first 7 of Chroma's 7" in before
    assert shown(before) == by_cosine(QUESTION, passages)
    assert shown(after)[:7] == by_reranker(QUESTION, passages)
    assert "Traceback" not in out
    assert "Warning" not in out
    assert all(len(line) <= 80 for line in out.splitlines())


def shown(text: str) -> list[str]:
    rows = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()]
    return [row[-1] for row in rows if "#" in row[-1]]


def only_changes_are_embedded(demo: Demo, llm: ChatServer) -> None:
    texts = sorted(p.text for p in folder_passages(demo.docs))

    _, out = demo.ask(llm)
    assert "7 to embed, 0 unchanged" in flat(out)
    assert sorted(set(demo.embedded) - {QUESTION}) == sorted(map(flat, texts))
    assert len(demo.embedded) == 7 + 2  # the question for the tables, and for the chain
    assert sorted(demo.stored.values()) == texts

    _, out = demo.ask(llm)
    assert "0 to embed, 7 unchanged" in flat(out)
    assert set(demo.embedded) == {QUESTION}

    (demo.docs / "loans.md").write_text("# Loans\n\nFour weeks.\n\n# More\n\nNot on Sundays.\n")
    (demo.docs / "music.txt").unlink()
    _, out = demo.ask(llm)
    assert "2 to embed, 5 unchanged" in flat(out)
    new = {
        "loans.md#1": "loans.md > Loans\n\nFour weeks.",
        "loans.md#2": "loans.md > More\n\nNot on Sundays.",
    }
    assert set(demo.embedded) - {QUESTION} == set(map(flat, new.values()))
    stored = demo.stored
    assert {ident: stored[ident] for ident in new} == new
    assert sorted(stored.values()) == sorted(p.text for p in folder_passages(demo.docs))

    (demo.docs / "loans.md").write_text("# Loans\n\nFour weeks.\n")
    demo.ask(llm)
    assert set(demo.embedded) == {QUESTION}
    assert "loans.md#2" not in demo.stored


def every_judged_question_is_recorded(
    demo: Demo, llm: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages = folder_passages(demo.docs)
    answers = {QUESTION: "loans.md#1", "What does being late cost?": "fines.txt#1"}
    questions = demo.docs.parent / "questions.jsonl"
    lines = []
    for number, (question, ident) in enumerate(answers.items(), 1):
        [quote] = [p.text.partition("\n\n")[2] for p in passages if p.id == ident]
        judgment = {"passage": ident, "grade": 2, "quote": quote}
        kind = "paraphrase" if number == 1 else "keyword-trap"
        fields = {"id": f"q{number}", "question": question, "kind": kind, "answer": "x"}
        lines.append(json.dumps({**fields, "judgments": [judgment]}))
    questions.write_text("\n".join(lines))
    monkeypatch.setattr(app, "QUESTIONS", questions)
    monkeypatch.setattr(app, "python_docs", lambda: passages)

    status, out = demo.run("--all", "--answers", "1", "--llm-url", llm.url)

    assert status == 0
    records = [json.loads(line) for line in (demo.output / "records.jsonl").open("rb")]
    assert [record["question"] for record in records] == list(answers)
    for record in records:
        orders = by_cosine(record["question"], passages), by_reranker(record["question"], passages)
        for stage, order in zip(("before", "after"), orders, strict=True):
            assert [hit["passage"] for hit in record[stage]] == order
            # One relevant passage: 1/rank, for P@5 a fifth if it is among the first five.
            rank = order.index(answers[record["question"]]) + 1
            assert record[f"measures_{stage}"]["MRR@10"] == pytest.approx(1 / rank)
            assert record[f"measures_{stage}"]["P@5"] == pytest.approx(0.2 * (rank <= 5))
        assert set(record["seconds"]) >= {"retrieve", "rerank"}
        falling = [hit["score"] for hit in record["before"]]
        assert falling == sorted(falling, reverse=True)
    cosine = cosines(QUESTION, passages)
    assert {hit["passage"]: hit["score"] for hit in records[0]["before"]} == pytest.approx(
        cosine, abs=0.01
    )  # half precision where the CPU has it
    assert [record["answer"] for record in records] == ["Forty-two.", None]
    assert QUESTION in (demo.output / "report.html").read_text("utf-8")
    assert "Forty-two." in out


def an_unreachable_llm_is_explained(demo: Demo) -> None:
    arguments = ["--question", QUESTION, "--docs", str(demo.docs)]

    status, out = demo.run(*arguments, "--llm-url", "http://127.0.0.1:9/v1")

    assert status == 1
    assert "After reranking" in out
    said = flat(out)
    assert "AnswerError: no answer from 'default' at http://127.0.0.1:9/v1" in said
    assert "Traceback" not in out


def ctrl_c_reaches_a_slow_llm(demo: Demo, llm: ChatServer) -> None:
    llm.interrupts = True
    started = time.monotonic()

    status, out = demo.ask(llm)

    assert status == 130
    assert out.rstrip().endswith("interrupted")
    assert time.monotonic() - started < 20  # the server would have thought for 30


def a_refused_key_is_explained(demo: Demo, llm: ChatServer) -> None:
    llm.status = 401

    status, out = demo.ask(llm)

    assert status == 1
    assert "no such key" in flat(out)
    assert "OPENAI_API_KEY" in out


def a_page_instead_of_an_answer_is_explained(demo: Demo, llm: ChatServer) -> None:
    llm.html = True

    status, out = demo.ask(llm)

    assert status == 1
    assert "AnswerError: no answer from 'oracle'" in flat(out)


def a_model_that_cannot_be_loaded_is_explained(demo: Demo) -> None:
    missing = str(demo.docs / "no-model")

    status, out = demo.run("--question", "x", "--docs", str(demo.docs), "--model", missing)

    assert status == 1
    assert "Error: " in out
    assert "no-model" in "".join(out.split())
    assert "Traceback" not in out
