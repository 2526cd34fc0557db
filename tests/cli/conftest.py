from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rag_rerankers.cli import app

Call = Callable[..., Result]


@pytest.fixture
def call() -> Call:
    """Runs the command; stdout and stderr apart."""

    def run(*arguments: object, stdin: str | None = None) -> Result:
        runner = CliRunner(env={"COLUMNS": "80", "TERM": "dumb"})
        return runner.invoke(app, [str(argument) for argument in arguments], input=stdin)

    return run


@pytest.fixture(scope="session")
def model(make) -> Path:
    """A tiny cross-encoder in a folder."""
    folder: Path = make("xlmr_reranker")
    return folder


DOCUMENTS = {
    "d1": "The giant panda is a bear that lives in China.",
    "d2": "Rust is a programming language.",
    "d3": "Bamboo is a fast growing grass, which the panda eats.",
    "d4": "Paris is the capital of France.",
}
QUERIES = {"q1": "what is a giant panda?", "q2": "what is the capital of France?"}


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A folder in BEIR layout."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    for name, texts in (("corpus", DOCUMENTS), ("queries", QUERIES)):
        lines = [json.dumps({"_id": id_, "text": text}) for id_, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "qrels.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t1\nq2\td4\t1\n"
    )
    return folder
