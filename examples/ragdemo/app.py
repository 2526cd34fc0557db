"""The demo around the chain: corpus, questions, records, report."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from rag_rerankers import RerankError
from ragdemo.cli import EXAMPLES, TOP_N, Options, parse
from ragdemo.index import IndexFolderError, chroma_folder, exclusive
from ragdemo.judgments import JudgmentError, Question, load_questions, resolve
from ragdemo.models import AnswerError, MissingModelError, answering, llm_endpoint
from ragdemo.passages import CorpusError, Passage, python_docs
from ragdemo.record import Hit, Record, measure, write_jsonl
from ragdemo.screen import print_answer, print_found, print_means, progress_bar
from ragdemo.search import OpenSearch, Search, Settings

__all__ = ["run"]

QUESTIONS = EXAMPLES / "data" / "questions.jsonl"

# What goes wrong outside this program: the message says it all, a traceback would hide it.
_ERRORS = (
    RerankError,
    CorpusError,
    JudgmentError,
    MissingModelError,
    AnswerError,
    IndexFolderError,
)


def run(framework: str, open_search: OpenSearch, arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Args:
        framework: Its name, for the command's help and for the collection.
        open_search: Builds the chain over the passages.
        arguments: The command line; None for the process's own.

    Returns:
        The exit status.
    """
    options = parse(framework, arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an old code page has no arrows
    console = Console(emoji=False)  # a ":bug:" in somebody's document is text
    # Said before the heavy imports, which take seconds.
    console.print(
        f"{framework}: Chroma top {options.candidates} → {options.model} → top {TOP_N} → LLM",
        highlight=False,
        markup=False,
    )
    try:
        _run(framework, open_search, options, console)
    except _ERRORS as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted", style="red")
        return 130  # as the shell has it: 128 + SIGINT
    return 0


def _run(framework: str, open_search: OpenSearch, options: Options, console: Console) -> None:
    passages, corpus = _corpus(options.docs)
    judged = _Judged.of(passages, console) if options.docs is None else _Judged((), {})
    with console.status("loading the libraries"):
        _load_quietly()
    where = f"{framework}:{options.docs.resolve() if options.docs else 'python'}"
    settings = Settings(
        options.model,
        options.candidates,
        options.output / "chroma",
        # Chroma allows few characters in a name: a hash tells the folders apart.
        "passages-" + sha256(where.encode("utf-8", "surrogatepass")).hexdigest()[:12],
    )
    with chroma_folder(settings.chroma):
        with exclusive(settings.chroma, console):
            search = open_search(settings, passages, console)
        if options.question is None:
            _run_all(options, console, search, judged, passages, corpus)
        else:
            _run_one(options, console, search, judged, options.question)


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
        questions = load_questions(QUESTIONS)
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
    options: Options, console: Console, search: Search, judged: _Judged, question: str
) -> None:
    with console.status("loading the reranker, retrieving, reranking"):
        found = search.search(question)
    print_found(console, found, judged.grades_of(question), shown=2 * TOP_N)
    for answer, sources, _ in _answers(options, console, search, [question]):
        print_answer(console, question, answer, sources)


def _run_all(
    options: Options,
    console: Console,
    search: Search,
    judged: _Judged,
    passages: Sequence[Passage],
    corpus: str,
) -> None:
    if not judged.questions:
        raise JudgmentError(f"no question of {QUESTIONS} is about this Python's documentation")
    with console.status("loading the reranker"):  # what is timed below is warm
        search.search(judged.questions[0].question)
    records = []
    with progress_bar(console) as progress:
        task = progress.add_task("retrieving and reranking", total=len(judged.questions))
        for question in judged.questions:
            records.append(_record(search, question, judged.grades[question.id]))
            progress.advance(task)
    # Spread over the file, so that each kind of question gets an answer.
    n_answers = min(options.answers, len(records))
    chosen = [i * len(records) // n_answers for i in range(n_answers)]
    answers = _answers(options, console, search, [records[i].question for i in chosen])
    try:
        for i, (answer, sources, took) in zip(chosen, answers, strict=True):
            seconds = {**records[i].seconds, "answer": took}
            records[i] = dataclasses.replace(records[i], answer=answer, seconds=seconds)
            print_answer(console, records[i].question, answer, sources)
    finally:  # an LLM that fails, or takes too long, costs no record
        _write(options, console, records, passages, corpus)


def _record(search: Search, question: Question, grades: Mapping[str, int]) -> Record:
    found = search.search(question.question)
    return Record(
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


def _write(
    options: Options,
    console: Console,
    records: Sequence[Record],
    passages: Sequence[Passage],
    corpus: str,
) -> None:
    from ragdemo.report import write_report

    console.print()
    print_means(console, records)
    write_jsonl(options.output / "records.jsonl", records)
    page = options.output / "report.html"
    write_report(page, records, passages, model=options.model, corpus=corpus)
    for name in ("records.jsonl", "report.html"):
        path = options.output / name
        console.print(f"written: {path}", style="dim", highlight=False, markup=False)


def _answers(
    options: Options, console: Console, search: Search, questions: Sequence[str]
) -> Iterator[tuple[str, list[Hit], float]]:
    """Answer, sources and seconds, for each question, as they come."""
    if not questions:
        return
    with contextlib.ExitStack() as stack:
        with console.status("starting the LLM"):
            endpoint = stack.enter_context(llm_endpoint(options.llm_url, options.llm_model))
        progress = stack.enter_context(progress_bar(console))
        task = progress.add_task(f"asking {escape(endpoint.model)}", total=len(questions))
        for question in questions:
            started = time.perf_counter()
            with answering(endpoint):
                answer, sources = search.answer(question, endpoint)
            progress.advance(task)
            yield answer.strip(), sources, time.perf_counter() - started
    if options.llm_url is None:
        console.print(
            f"\n{endpoint.model} is tiny: judge the passages by its answers, not its prose "
            "(--llm-url takes a better one)",
            style="dim",
            highlight=False,
        )


def _load_quietly() -> None:
    """Import what takes seconds, and keep other libraries' chatter off the screen."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    import chromadb  # noqa: F401
    import sentence_transformers  # noqa: F401
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
