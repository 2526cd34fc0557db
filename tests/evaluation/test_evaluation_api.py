"""The names of ``rag_rerankers.evaluation`` and what importing it costs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rag_rerankers import evaluation

NAMES = [
    "Collection",
    "Comparison",
    "Evaluation",
    "Run",
    "System",
    "compare",
    "evaluate",
    "evaluate_retriever",
    "export_judgments",
    "load_collection",
    "read_run",
    "write_run",
]
EXTRAS = ("bm25s", "ir_measures", "ir_datasets", "scipy", "matplotlib", "jinja2", "py3langid",
          "torch", "transformers", "langchain_core", "llama_index")  # fmt: skip
SOURCE = Path(evaluation.__file__).parent


def test_the_public_names_are_pinned_and_sorted():
    assert evaluation.__all__ == NAMES == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented(name):
    value = getattr(evaluation, name)
    assert inspect.getdoc(value)
    if inspect.isfunction(value):
        assert "Args:" in (inspect.getdoc(value) or "")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            evaluation.evaluate,
            "data, models, *, first_stage='bm25', top_k=100, measures=None, min_grade=1, by=(), "
            "options=None, embedding='minilm', cost=True, lenient=False, progress",
        ),
        (
            evaluation.evaluate_retriever,
            "retriever, data, *, reranker=None, postprocessors=(), document_id=None, "
            "measures=None, min_grade=1, by=(), lenient=False, progress",
        ),
        (evaluation.compare, "first, second, *, k=10"),
        (
            evaluation.load_collection,
            "data, *, qrels=None, split='test', judged=True, lenient=False",
        ),
        (evaluation.export_judgments, "path, comparison, collection, *, per_query=5, seed=0"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_parameter_names_and_defaults_are_pinned(function, expected):
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]
    assert re.sub(r"=<function.*?>", "", str(inspect.Signature(bare))) == f"({expected})"


def test_importing_it_loads_no_library_of_an_extra():
    code = "import rag_rerankers.evaluation, rag_rerankers.cli, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert set(done.stdout.split()) & set(EXTRAS) == set()


def test_every_extra_that_is_named_exists():
    project = SOURCE.parents[2] / "pyproject.toml"
    declared = re.search(r"\[project.optional-dependencies\]\n(.*?)\n\[", project.read_text(), re.S)
    assert declared is not None
    for extra in ("eval", "datasets", "embedded"):
        assert re.search(rf"^{extra} = \[", declared[1], re.MULTILINE)
    named = re.findall(
        r'needed\([^)]*, "(\w+)"\)', "".join(p.read_text() for p in SOURCE.rglob("*.py"))
    )
    assert set(named) <= {"eval", "datasets", "embedded"}
