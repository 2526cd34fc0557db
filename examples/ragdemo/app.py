"""The demo around the chain: command line, corpus, questions, records, report."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import Progress

from rag_rerankers import RerankError
from ragdemo.judgments import JudgmentError, Question, load_questions, resolve
from ragdemo.models import Endpoint, MissingModelError, llm_endpoint
from ragdemo.passages import CorpusError, Passage, python_docs
from ragdemo.record import Found, Hit, Record, measure, write_jsonl
from ragdemo.screen import print_answer, print_found, print_means

__all__ = ["TOP_N", "Search", "Settings", "run"]

TOP_N = 5
EXAMPLES = Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a framework's chain needs to know.

    Attributes:
        model: The reranker.
        candidates: How many passages the first stage hands over.
        chroma: Folder of Chroma's files.
        collection: Name of the collection.
    """

    model: str
    candidates: int
    chroma: Path
    collection: str


class Search(Protocol):
    """The chain, in either framework."""

    def search(self, question: str) -> Found:
        """Retrieve and rerank all candidates."""
        ...

    def answer(self, question: str, endpoint: Endpoint) -> tuple[str, list[Hit]]:
        """Run the whole chain: the answer, and the passages that the LLM was given."""
        ...


OpenSearch = Callable[[Settings, Sequence[Passage], Console], Search]


def run(framework: str, open_search: OpenSearch, arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Args:
        framework: Its name, for the command's help and for the collection.
        open_search: Builds the chain over the passages.
        arguments: The command line; None for the process's own.

    Returns:
        The exit status.
    """
    options = _parse(framework, arguments)
    console = Console()
    # Said before the heavy imports, which take seconds.
    console.print(
        f"{framework}: Chroma top {options.candidates} → {options.model} → top {TOP_N} → LLM",
        highlight=False,
    )
    _quiet()
    try:
        passages, corpus = _corpus(options.docs)
        judged = _Judged.of(passages, console) if options.docs is None else _Judged((), {})
        where = f"{framework}:{options.docs.resolve() if options.docs else 'python'}"
        settings = Settings(
            options.model,
            options.candidates,
            options.output / "chroma",
            # Chroma allows few characters in a name: a hash tells the folders apart.
            "passages-" + sha256(where.encode("utf-8", "surrogatepass")).hexdigest()[:12],
        )
        search = open_search(settings, passages, console)
        if options.all:
            _run_all(options, console, search, judged, corpus)
        else:
            _run_one(options, console, search, judged)
    except (RerankError, CorpusError, JudgmentError, MissingModelError) as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 1
    return 0


def _parse(framework: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"Chroma -> rerank -> LLM with {framework}, and the proof that it helps.",
        epilog="The key for --llm-url is read from OPENAI_API_KEY.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--question", help="answer one question and show what moved")
    what.add_argument("--all", action="store_true", help="run and record every judged question")
    parser.add_argument("--answers", type=int, default=0, metavar="N", help="with --all: answer N")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="search these files instead")
    parser.add_argument("--model", default="minilm-maxsim", help="the reranker (%(default)s)")
    parser.add_argument("--candidates", type=int, default=50, metavar="K", help="from Chroma (50)")
    parser.add_argument("--llm-url", metavar="URL", help="an OpenAI-compatible endpoint")
    parser.add_argument("--llm-model", metavar="NAME", help="the model at that endpoint")
    parser.add_argument(
        "--output", type=Path, default=EXAMPLES / "output", help="where files go (%(default)s)"
    )
    parsed = parser.parse_args(arguments)
    if parsed.all and parsed.docs is not None:
        parser.error("--all needs the judged questions, which are about Python's documentation")
    if parsed.answers < 0:
        parser.error(f"--answers must be 0 or more, not {parsed.answers}")
    if parsed.candidates < TOP_N:
        parser.error(f"--candidates must be at least {TOP_N}, not {parsed.candidates}")
    return parsed


def _corpus(folder: Path | None) -> tuple[list[Passage], str]:
    if folder is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return python_docs(), f"the documentation inside Python {version}"
    from ragdemo.folder import folder_passages

    return folder_passages(folder, progress=True), f"the files in {folder}"


@dataclasses.dataclass(frozen=True)
class _Judged:
    questions: tuple[Question, ...]
    grades: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, passages: Sequence[Passage], console: Console) -> _Judged:
        questions = load_questions(EXAMPLES / "data" / "questions.jsonl")
        grades, unresolved = resolve(questions, passages)
        if unresolved:
            console.print(
                f"{len(unresolved)} judgments have no passage in this Python's documentation "
                "and are left out",
                style="dim",
                highlight=False,
            )
        return cls(tuple(question for question in questions if question.id in grades), grades)

    def grades_of(self, text: str) -> Mapping[str, int]:
        """Grades for a question by its text; empty if it is not one of the judged ones."""
        ids = {question.question: question.id for question in self.questions}
        return self.grades.get(ids.get(text, ""), {})


def _run_one(
    options: argparse.Namespace, console: Console, search: Search, judged: _Judged
) -> None:
    found = search.search(options.question)
    print_found(console, found, judged.grades_of(options.question), shown=2 * TOP_N)
    for answer, sources, _ in _answers(options, console, search, [options.question]):
        print_answer(console, options.question, answer, sources)


def _run_all(
    options: argparse.Namespace, console: Console, search: Search, judged: _Judged, corpus: str
) -> None:
    from ragdemo.report import write_report

    search.search(judged.questions[0].question)  # loads the models: what is timed is warm
    records = []
    with Progress(console=console) as progress:
        task = progress.add_task("retrieving and reranking", total=len(judged.questions))
        for question in judged.questions:
            found = search.search(question.question)
            grades = judged.grades[question.id]
            record = Record(
                id=question.id,
                question=question.question,
                kind=question.kind,
                grades=grades,
                before=found.before,
                after=found.after,
                measures_before=measure(found.before, grades),
                measures_after=measure(found.after, grades),
                seconds=found.seconds,
            )
            records.append(record)
            progress.advance(task)
    # Spread over the file, so that each kind of question gets an answer.
    n_answers = min(options.answers, len(records))
    chosen = [i * len(records) // n_answers for i in range(n_answers)]
    asked = [records[i].question for i in chosen]
    answers = _answers(options, console, search, asked)
    for i, (answer, sources, took) in zip(chosen, answers, strict=True):
        seconds = {**records[i].seconds, "answer": took}
        records[i] = dataclasses.replace(records[i], answer=answer, seconds=seconds)
        print_answer(console, records[i].question, answer, sources)
    console.print()
    print_means(console, records)
    write_jsonl(options.output / "records.jsonl", records)
    write_report(options.output / "report.html", records, model=options.model, corpus=corpus)
    for name in ("records.jsonl", "report.html"):
        console.print(f"written: {options.output / name}", style="dim", highlight=False)


def _answers(
    options: argparse.Namespace, console: Console, search: Search, questions: Sequence[str]
) -> list[tuple[str, list[Hit], float]]:
    """Answer, sources and seconds, for each question."""
    if not questions:
        return []
    answered = []
    with (
        llm_endpoint(options.llm_url, options.llm_model) as endpoint,
        Progress(console=console) as progress,
    ):
        task = progress.add_task(f"asking {endpoint.model}", total=len(questions))
        for question in questions:
            started = time.perf_counter()
            answer, sources = search.answer(question, endpoint)
            answered.append((answer.strip(), sources, time.perf_counter() - started))
            progress.advance(task)
    if options.llm_url is None:
        console.print(
            f"{endpoint.model} is tiny: judge the passages by its answers, not its prose "
            "(--llm-url takes a better one)",
            style="dim",
            highlight=False,
        )
    return answered


def _quiet() -> None:
    """Keep other libraries' chatter off the screen."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
