from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
from tests.plaid.needs import needs_colbert

import rag_rerankers

MODULES = [
    info.name
    for info in pkgutil.walk_packages(rag_rerankers.__path__, "rag_rerankers.")
    if not info.name.endswith("__main__")
]
WITH_EXAMPLES = {
    "rag_rerankers.batching",
    "rag_rerankers.distributed.outcomes",
    "rag_rerankers.evaluation.bm25",
    "rag_rerankers.evaluation.cells",
    "rag_rerankers.evaluation.collection",
    "rag_rerankers.evaluation.comparison",
    "rag_rerankers.evaluation.cost",
    "rag_rerankers.evaluation.measures",
    "rag_rerankers.evaluation.systems",
    "rag_rerankers.evaluation.top",
    "rag_rerankers.explanation.records",
    "rag_rerankers.explanation.segments",
    "rag_rerankers.explanation.words",
    "rag_rerankers.plaid.files",
    "rag_rerankers.plaid.indexing",
    "rag_rerankers.plaid.kernels",
    "rag_rerankers.plaid.searching",
    "rag_rerankers.ranking",
    "rag_rerankers.remote.answers",
    "rag_rerankers.remote.asking",
    "rag_rerankers.remote.endpoint",
    "rag_rerankers.remote.retrying",
    "rag_rerankers.reranker",
    "rag_rerankers.scorers.cascade",
    "rag_rerankers.scorers.maxsim",
    "rag_rerankers.scorers.projection",
    "rag_rerankers.tokenization",
    "rag_rerankers.types",
    "rag_rerankers.windows",
}
NEED_COLBERT = {
    f"rag_rerankers.plaid.{name}" for name in ("generation", "indexing", "searching", "writing")
}


@pytest.mark.parametrize("name", MODULES)
def test_every_example_in_a_docstring_is_true(name):
    if name.startswith("rag_rerankers.evaluation"):
        pytest.importorskip("ir_measures", reason="needs the extra 'eval'")
    if name in NEED_COLBERT:
        needs_colbert()
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert failed == 0, "the report is above"
    assert tried > 0 or name not in WITH_EXAMPLES, f"{name} lost its examples"


def test_the_modules_with_examples_exist():
    assert set(MODULES) >= WITH_EXAMPLES
