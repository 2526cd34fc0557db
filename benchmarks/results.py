"""Measures what ``docs/results.md`` says, and writes that page.

    python benchmarks/results.py measure FOLDER [FOLDER ...]   figures -> benchmarks/results.json
    python benchmarks/results.py render                        figures -> docs/results.md

Quality: every folder (BEIR layout), every first stage, every precision, by
``rag_rerankers.evaluation``; each passage is encoded once (``encoded_once.py``), which changes no
score. Cost: a sample of the second folder, passages encoded at every call, as in ``eval``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.encoded_once import EncodedOnce
from rag_rerankers import ModelOptions, load_scorer
from rag_rerankers.cli.screen import show_progress
from rag_rerankers.evaluation import Collection, Evaluation, Run, evaluate, load_collection
from rag_rerankers.evaluation.first_stage import first_stage
from rag_rerankers.scorers.late_interaction import LateInteractionScorer

HERE = Path(__file__).parent
FIGURES = HERE / "results.json"
PAGE = HERE.parent / "docs" / "results.md"
MODEL = "minilm-maxsim"
ABOUT = {
    "chroma-chunks": ": five texts cut into chunks, questions by a language model. Like RAG.",
    "squad-dev": ": Wikipedia paragraphs, a fixed sample of the questions of SQuAD 1.1.",
    "trec-dl19-pool": (
        ": MS MARCO passages that six first stages found, real questions, grades by NIST. "
        "`stored BM25 run` is the usual top 100 of the whole collection with all judgments, for "
        "comparison with the literature."
    ),
    "xquad-de": ": XQuAD in German. The model was trained on English.",
    "xquad-es": ": XQuAD in Spanish. The model was trained on English.",
    "xquad-zh": ": XQuAD in Chinese. The model was trained on English.",
}
TOP_K = 50


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("folders", nargs="+", type=Path)
    measuring.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    measuring.add_argument("--cost-queries", type=int, default=40)
    commands.add_parser("render")
    arguments = parser.parse_args()
    if arguments.command == "measure":
        known = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
        for key, figures in measured(arguments.folders, arguments.dtype, arguments.cost_queries):
            known[key] = figures
            FIGURES.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    render()


def measured(
    folders: list[Path], dtypes: list[str], cost_queries: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Figures of each folder and first stage, then the cost."""
    for folder in folders:
        scorers = {f"{MODEL}, {dtype}": _scorer(dtype) for dtype in dtypes}
        for label, collection, run, top_k, grade in _stages(folder):
            found = evaluate(
                collection,
                scorers,
                first_stage=run,
                top_k=top_k,
                min_grade=grade,
                cost=False,
                progress=show_progress,
            )
            yield f"{folder.name} / {label}", _figures(found)
            print(f"{folder.name} / {label}: done", flush=True)
    if cost_queries:
        sample = load_collection(folders[min(1, len(folders) - 1)]).sample(cost_queries)
        models = [f"{MODEL},dtype={dtype}" for dtype in dtypes]
        found = evaluate(sample, models, top_k=TOP_K, progress=show_progress)
        yield "cost", _costs(found)


def render() -> None:
    """Write the page from the figures."""
    templates = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, autoescape=False
    )
    figures = json.loads(FIGURES.read_text("utf-8"))
    cost = figures.pop("cost", None)
    folders: dict[str, dict[str, Any]] = {}
    for key, found in sorted(figures.items()):
        folder, _, stage = key.partition(" / ")
        folders.setdefault(folder, {})[stage] = found
    page = templates.get_template("results.md.j2").render(
        sets=figures, folders=folders, cost=cost, about=ABOUT, short=_short
    )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page, "utf-8")
    print(f"written: {PAGE}")


def _short(means: dict[str, float], name: str, depth: int) -> str:
    """The mean of a measure, whatever its relevance level."""
    for measure, mean in means.items():
        if measure.startswith(name) and measure.endswith(f"@{depth}"):
            return f"{mean:.3f}".removeprefix("0")
    return "-"


def _scorer(dtype: str) -> EncodedOnce:
    scorer = load_scorer(MODEL, ModelOptions(dtype=dtype))
    assert isinstance(scorer, LateInteractionScorer)
    return EncodedOnce(scorer)


def _stages(folder: Path) -> Iterator[tuple[str, Collection, Run, int, int]]:
    """First stage, data, its run, its depth and the lowest relevant grade."""
    collection = load_collection(folder)
    graded = max(max(grades.values()) for grades in collection.qrels.values()) > 1
    grade = 2 if graded else 1
    for stage in ("bm25", "dense"):
        run, _ = first_stage(stage, collection, TOP_K, progress=show_progress)
        yield stage, collection, run, TOP_K, grade
    stored, full = folder / "bm25_top100.tsv.gz", folder / "qrels_full.txt.gz"
    if stored.exists() and full.exists():
        complete = load_collection(folder, qrels=full, lenient=True)
        run, _ = first_stage(stored, complete, 100)
        yield "stored BM25 run, all judgments", complete, run, 100, grade


def _figures(found: Evaluation) -> dict[str, Any]:
    return {
        "queries": len(found.collection.queries),
        "documents": len(found.collection.documents),
        "top_k": found.top_k,
        "measures": found.measures,
        "environment": found.environment,
        "threads": torch.get_num_threads(),
        "systems": {s.name: {m: s.mean(m) for m in found.measures} for s in found.systems},
        "differences": [asdict(d) for d in found.differences if d.measure == found.measures[0]],
    }


def _costs(found: Evaluation) -> dict[str, Any]:
    return {
        "data": found.collection.name,
        "queries": len(found.collection.queries),
        "top_k": found.top_k,
        "environment": found.environment,
        "threads": torch.get_num_threads(),
        "models": {
            model.name: {**asdict(model.cost), "tokens_per_second": model.cost.tokens_per_second}
            for model in found.models
            if model.cost is not None
        },
    }


if __name__ == "__main__":
    main()
