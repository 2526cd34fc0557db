"""The command line of both demos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["EXAMPLES", "TOP_N", "Options", "parse"]

TOP_N = 5
EXAMPLES = Path(__file__).parent.parent


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        question: The one question to answer; None to run every judged one.
        answers: How many of the judged questions the LLM answers.
        docs: Folder of documents to search; None for Python's documentation.
        model: The reranker.
        candidates: How many passages the first stage hands over.
        llm_url: An OpenAI-compatible endpoint; None for the local LLM.
        llm_model: The model at that endpoint.
        output: Folder for Chroma's files, the records and the report.
    """

    question: str | None
    answers: int
    docs: Path | None
    model: str
    candidates: int
    llm_url: str | None
    llm_model: str | None
    output: Path


def parse(framework: str, arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; whatever is wrong with it ends the process with a message."""
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
    if not parsed.all and not parsed.question.strip():
        parser.error(f"--question needs some words, not {parsed.question!r}")
    if parsed.answers < 0:
        parser.error(f"--answers must be 0 or more, not {parsed.answers}")
    if parsed.answers and not parsed.all:
        parser.error("--answers goes with --all; --question always answers")
    if parsed.candidates < TOP_N:
        parser.error(f"--candidates must be at least {TOP_N}, not {parsed.candidates}")
    if parsed.llm_url is not None and not _is_http(parsed.llm_url):
        parser.error(f"--llm-url must look like http://127.0.0.1:8080/v1, not {parsed.llm_url!r}")
    if parsed.llm_model is not None and parsed.llm_url is None:
        parser.error("--llm-model goes with --llm-url")
    return Options(
        # Bytes that are not text in this locale arrive as lone surrogates, which no server takes.
        question=None if parsed.all else parsed.question.encode("utf-8", "replace").decode("utf-8"),
        answers=parsed.answers,
        docs=parsed.docs,
        model=parsed.model,
        candidates=parsed.candidates,
        llm_url=parsed.llm_url,
        llm_model=parsed.llm_model,
        output=parsed.output,
    )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket without its partner
        return False
