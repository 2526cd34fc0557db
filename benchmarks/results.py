"""Measures what ``docs/results.md`` says, and writes that page.

    python -m benchmarks.results measure FOLDER [FOLDER ...]   quality -> benchmarks/results.json
    python -m benchmarks.results cost FOLDER                   cost    -> benchmarks/results.json
    python -m benchmarks.results render                        both    -> docs/results.md

Quality: every folder (BEIR layout), every first stage, every precision, by
``rag_rerankers.evaluation``; each passage is encoded once (``encoded_once.py``), which changes no
score. Cost: a sample of the queries, passages encoded at every call, as in ``eval``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
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
    measuring.add_argument("--dtype", nargs="+", default=["float32", "int8"])
    costing = commands.add_parser("cost")
    costing.add_argument("folder", type=Path)
    costing.add_argument("--dtype", nargs="+", default=["float32", "int8"])
    costing.add_argument("--queries", type=int, default=40)
    commands.add_parser("render")
    arguments = parser.parse_args()
    known = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
    found: Iterable[tuple[str, dict[str, Any]]] = ()
    if arguments.command == "measure":
        found = measured(arguments.folders, arguments.dtype)
    elif arguments.command == "cost":
        found = [("cost", costs(arguments.folder, arguments.dtype, arguments.queries))]
    for key, figures in found:
        known[key] = figures
        FIGURES.write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    render()


def measured(folders: list[Path], dtypes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Figures of each folder and first stage."""
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


def costs(folder: Path, dtypes: list[str], queries: int) -> dict[str, Any]:
    """Figures of a sample of the queries, by the evaluation itself."""
    sample = load_collection(folder).sample(queries)
    models = [f"{MODEL},dtype={dtype}" for dtype in dtypes]
    found = evaluate(sample, models, top_k=TOP_K, progress=show_progress)
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
        folders={name: _folder(name, stages) for name, stages in folders.items()},
        precisions=[row for name, stages in folders.items() for row in _precisions(name, stages)],
        cost=None if cost is None else {**cost, "rows": _cost_rows(cost["models"])},
    )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page, "utf-8")
    print(f"written: {PAGE}")


def _folder(name: str, stages: dict[str, Any]) -> dict[str, Any]:
    """What the page says of one set: how large it is, and a row for each system."""
    any_stage = next(iter(stages.values()))
    rows = []
    for stage, found in stages.items():
        first, *_ = found["systems"]
        for system in (first, f"{MODEL}, float32"):
            means = found["systems"][system]
            (change,) = [
                d for d in found["differences"] if (d["baseline"], d["system"]) == (first, system)
            ] or [None]
            rows.append(
                [
                    f"{stage}, top {found['top_k']}" if system == first else "",
                    "before" if system == first else "after",
                    *(_short(means, measure, 10) for measure in ("nDCG", "MRR", "Recall")),
                    *_change(change, 3),
                ]
            )
    return {
        "about": ABOUT.get(name, ""),
        "queries": any_stage["queries"],
        "documents": any_stage["documents"],
        "rows": rows,
    }


def _precisions(name: str, stages: dict[str, Any]) -> Iterator[list[str]]:
    """Each other precision against float32."""
    for stage, found in stages.items():
        for change in found["differences"]:
            if change["baseline"] == f"{MODEL}, float32":
                yield [name, stage, change["system"].split(", ")[1], *_change(change, 4)]


def _cost_rows(models: dict[str, Any]) -> list[tuple[str, list[str]]]:
    lines: dict[str, Callable[[dict[str, Any]], str]] = {
        "ms per query, p50 / p95": lambda c: f"{c['query']['p50']:,.0f} / {c['query']['p95']:,.0f}",
        "texts per second": lambda c: f"{c['texts_per_second']:,.1f}",
        "tokens per second": lambda c: f"{c['tokens_per_second']:,.0f}",
        "ms for 1 text, p50": lambda c: f"{c['probe']['one']['p50']:,.0f}",
        "ms for 8 texts, p50": lambda c: f"{c['probe']['eight']['p50']:,.0f}",
        "load, seconds": lambda c: f"{c['probe']['load_seconds']:.1f}",
        "memory before the model, MB": lambda c: f"{c['probe']['rss_before'] / 1e6:,.0f}",
        "peak memory, MB": lambda c: f"{c['probe']['rss_peak'] / 1e6:,.0f}",
    }
    return [(label, [cell(cost) for cost in models.values()]) for label, cell in lines.items()]


def _change(change: dict[str, Any] | None, digits: int) -> list[str]:
    if change is None:
        return ["", "", "", ""]
    form = f"{{:+.{digits}f}}"
    delta = form.format(change["after"] - change["before"])
    interval = f"{form.format(change['low'])} to {form.format(change['high'])}"
    p = "< .001" if change["p_value"] < 0.001 else f"{change['p_value']:.3f}".removeprefix("0")
    return [delta, interval, p, f"{change['wins']} / {change['losses']} / {change['ties']}"]


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


if __name__ == "__main__":
    main()
