"""Quality before and after reranking, with its cost, on anybody's data.

Needs the extra ``eval``; importing it loads none of that.
"""

from __future__ import annotations

from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.comparison import Comparison, compare
from rag_rerankers.evaluation.evaluate import evaluate
from rag_rerankers.evaluation.judging import export_judgments
from rag_rerankers.evaluation.loading import load_collection
from rag_rerankers.evaluation.pipelines import evaluate_retriever
from rag_rerankers.evaluation.results import Evaluation, System
from rag_rerankers.evaluation.runs import Run, read_run, write_run

__all__ = [
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
