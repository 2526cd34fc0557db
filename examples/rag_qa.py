"""Retrieval-augmented answers with a reranking stage, and the proof that it helps.

Chroma's top 50 -> rerank -> top 5 -> LLM chain, on Python's own language documentation or on a
folder of your own files:

    python examples/rag_qa.py --question "How do I make my object usable in a with block?"
    python examples/rag_qa.py --all --answers 3
    python examples/rag_qa.py --docs my-notes/ --question "..." --model bge-reranker-v2-m3
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from ragdemo.judgments import Question, load_questions, resolve
from ragdemo.passages import CorpusError, Passage, python_docs

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from ragdemo.pipeline import RerankedSearch
    from ragdemo.record import Record

HERE = Path(__file__).parent
QUESTIONS = HERE / "data" / "questions.jsonl"
TOP_N = 5


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
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
    parser.add_argument("--output", type=Path, default=HERE / "output", help="where files go")
    parsed = parser.parse_args(arguments)
    if parsed.all and parsed.docs is not None:
        parser.error("--all needs the judged questions, which are about Python's documentation")
    if parsed.answers < 0:
        parser.error(f"--answers must be 0 or more, not {parsed.answers}")
    if parsed.candidates < TOP_N:
        parser.error(f"--candidates must be at least {TOP_N}, not {parsed.candidates}")
    return parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    options = parse(arguments)
    console = Console()
    # Said before the heavy imports, which take seconds.
    console.print(f"Chroma top {options.candidates} → {options.model} → top {TOP_N} → LLM")
    _quiet()
    from ragdemo.models import MissingModelError

    from rag_rerankers import RerankError

    try:
        passages, corpus = _corpus(options.docs)
        questions, grades = _judged(passages, console) if options.docs is None else ([], {})
        search = _open(options, passages, console)
        if options.all:
            _run_all(options, console, search, questions, grades, corpus)
        else:
            _run_one(options, console, search, questions, grades)
    except (RerankError, CorpusError, MissingModelError) as error:
        console.print(f"[red]{type(error).__name__}:[/] {error}", highlight=False)
        return 1
    return 0


def _corpus(folder: Path | None) -> tuple[list[Passage], str]:
    if folder is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return python_docs(), f"the documentation inside Python {version}"
    from ragdemo.folder import folder_passages

    return folder_passages(folder, progress=True), f"the files in {folder}"


def _judged(
    passages: Sequence[Passage], console: Console
) -> tuple[list[Question], dict[str, dict[str, int]]]:
    questions = load_questions(QUESTIONS)
    grades, unresolved = resolve(questions, passages)
    if unresolved:
        console.print(
            f"{len(unresolved)} judgments have no passage in this Python's documentation "
            "and are left out",
            style="dim",
        )
    return [question for question in questions if question.id in grades], grades


def _open(
    options: argparse.Namespace, passages: Sequence[Passage], console: Console
) -> RerankedSearch:
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_rag_rerankers import RagRerank
    from ragdemo.index import open_index
    from ragdemo.models import embedding_folder
    from ragdemo.pipeline import RerankedSearch

    embeddings = HuggingFaceEmbeddings(
        model_name=str(embedding_folder()),
        model_kwargs={"device": "cpu"},
        encode_kwargs={"normalize_embeddings": True, "batch_size": 8},
    )
    where = "python-docs" if options.docs is None else str(options.docs.resolve())
    # Chroma allows few characters in a name: a hash tells the folders apart.
    collection = "passages-" + hashlib.sha256(where.encode()).hexdigest()[:12]
    options.output.mkdir(parents=True, exist_ok=True)
    store, changes = open_index(options.output / "chroma", collection, passages, embeddings)
    console.print(
        f"{len(passages)} passages in Chroma: {changes.embedded} embedded now, {changes.kept} kept, "
        f"{changes.removed} removed",
        style="dim",
        highlight=False,
    )
    # top_n=None keeps the whole order, so that the movement can be shown; the LLM gets the first 5.
    return RerankedSearch(store, RagRerank(model=options.model, top_n=None), options.candidates)


def _run_one(
    options: argparse.Namespace,
    console: Console,
    search: RerankedSearch,
    questions: Sequence[Question],
    grades: Mapping[str, Mapping[str, int]],
) -> None:
    from ragdemo.screen import print_answer, print_movement

    asked = {question.question: question.id for question in questions}
    known = grades.get(asked.get(options.question, ""), {})
    before, after, seconds = search.search(options.question)
    print_movement(console, before, after, known, shown=2 * TOP_N)
    console.print(
        f"retrieved in {1000 * seconds['retrieve']:.0f} ms, "
        f"reranked in {1000 * seconds['rerank']:.0f} ms",
        style="dim",
        highlight=False,
    )
    ((_, answer, _),) = _answers(options, [(options.question, after[:TOP_N])])
    print_answer(console, options.question, answer, after[:TOP_N])


def _run_all(
    options: argparse.Namespace,
    console: Console,
    search: RerankedSearch,
    questions: Sequence[Question],
    grades: Mapping[str, Mapping[str, int]],
    corpus: str,
) -> None:
    from ragdemo.record import write_jsonl
    from ragdemo.report import write_report
    from ragdemo.screen import print_answer, print_means

    records: list[Record] = []
    kept: list[list[Document]] = []
    search.search(questions[0].question)  # loads the models: latency is of a warm pipeline
    with Progress(console=console) as progress:
        task = progress.add_task("retrieving and reranking", total=len(questions))
        for question in questions:
            record, after = search.record(
                question.id, question.question, question.kind, grades[question.id]
            )
            records.append(record)
            kept.append(after[:TOP_N])
            progress.advance(task)
    # Spread over the file, so that each kind of question gets an answer.
    n_answers = min(options.answers, len(records))
    chosen = [i * len(records) // n_answers for i in range(n_answers)]
    asked = [(records[i].question, kept[i]) for i in chosen]
    for i, (_, answer, seconds) in zip(chosen, _answers(options, asked), strict=True):
        records[i] = dataclasses.replace(
            records[i], answer=answer, seconds={**records[i].seconds, "answer": seconds}
        )
        print_answer(console, records[i].question, answer, kept[i])
    console.print()
    print_means(console, records)
    write_jsonl(options.output / "records.jsonl", records)
    write_report(options.output / "report.html", records, model=options.model, corpus=corpus)
    console.print(f"records: {options.output / 'records.jsonl'}", style="dim", highlight=False)
    console.print(f"report:  {options.output / 'report.html'}", style="dim", highlight=False)


def _answers(
    options: argparse.Namespace, asked: Sequence[tuple[str, Sequence[Document]]]
) -> list[tuple[str, str, float]]:
    """Question, answer and seconds, for each question with its passages."""
    if not asked:
        return []
    from ragdemo.models import chat_model, llm_endpoint
    from ragdemo.pipeline import answer_chain, as_context

    answered = []
    with llm_endpoint(options.llm_url, options.llm_model) as endpoint, Progress() as progress:
        chain = answer_chain(chat_model(endpoint))
        task = progress.add_task(f"asking {endpoint.model}", total=len(asked))
        for question, passages in asked:
            started = time.perf_counter()
            answer = chain.invoke({"question": question, "context": as_context(passages)})
            answered.append((question, answer.strip(), time.perf_counter() - started))
            progress.advance(task)
    return answered


def _quiet() -> None:
    """Keep other libraries' chatter off the screen."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


if __name__ == "__main__":
    raise SystemExit(main())
