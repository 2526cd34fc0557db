"""What each compression of a token store costs: bytes a vector, error of a score, nDCG@10.

    python -m benchmarks.compression FOLDER [FOLDER ...]

Folders are data in BEIR's layout. Every candidate of a BM25 top 50 is encoded once, in float32, by
the real weights of minilm-maxsim; what is compared is the same vectors before and after. Results go
to ``benchmarks/speed.json``; ``python -m benchmarks table`` writes them into the page.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.places import RESULTS
from benchmarks.setting import Setting, say
from benchmarks.store import Store
from rag_rerankers import MissingExtraError, ModelOptions, load_scorer
from rag_rerankers.cli.screen import show_progress
from rag_rerankers.evaluation import evaluate, load_collection
from rag_rerankers.evaluation.first_stage import first_stage
from rag_rerankers.scorers.late_interaction import LateInteractionScorer
from rag_rerankers.scorers.maxsim import maxsim
from rag_rerankers.store.codecs import Codec, bits_of, make_codec
from rag_rerankers.store.shelf import COMPRESSIONS

MODEL, TOP_K = "minilm-maxsim", 50
EXACT = "float32"
# Vectors that a residual compression learns from.
SAMPLE = 150_000


class Compared:
    """Scores with vectors that are there already.

    Args:
        scorer: Encodes queries.
        vectors: Text to its vectors, shape (n, dim), float32.
        codec: What the vectors go through first; None for nothing.
    """

    def __init__(
        self,
        scorer: LateInteractionScorer,
        vectors: Mapping[str, torch.Tensor],
        codec: Codec | None,
    ) -> None:
        self._scorer = scorer
        self.record = 4 * scorer.encoder.dim if codec is None else codec.record
        self._vectors = (
            vectors
            if codec is None
            else {text: _through(codec, rows) for text, rows in vectors.items()}
        )
        self.scores: list[float] = []

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One MaxSim score per text."""
        found = [self._vectors[text] for text in texts]
        asked = self._scorer.encoder.query(query).vectors
        lengths = [len(rows) for rows in found]
        scores: list[float] = maxsim(asked, torch.cat(found), lengths).tolist()
        self.scores += scores
        return scores


def main() -> None:
    """Measure every folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--queries", type=int, default=300, help="sample of the queries")
    asked = parser.parse_args()
    scorer = load_scorer(MODEL, ModelOptions(dtype="float32"))
    assert isinstance(scorer, LateInteractionScorer)
    for folder in asked.folders:
        setting = Setting(Store(RESULTS), data=folder)
        setting.put(f"compression/{folder.name}", _measured(scorer, folder, asked.queries))


def _measured(scorer: LateInteractionScorer, folder: Path, queries: int) -> dict[str, Any]:
    collection = load_collection(folder)
    if len(collection.queries) > queries:
        collection = collection.sample(queries)
    run, _ = first_stage("bm25", collection, TOP_K)
    wanted = list(
        dict.fromkeys(
            collection.documents[document]
            for ranking in run.rankings.values()
            for document in ranking
        )
    )
    say(f"{folder.name}: {len(wanted)} texts")
    vectors: dict[str, torch.Tensor] = {}
    groups = [wanted[first : first + 64] for first in range(0, len(wanted), 64)]
    for group in show_progress("encoding", groups, len(groups)):
        vectors |= zip(group, scorer.encoder.documents(group), strict=True)
    contestants = {EXACT: Compared(scorer, vectors, None)}
    for compression in COMPRESSIONS:
        try:
            codec = _codec(compression, scorer.encoder.dim, vectors)
        except MissingExtraError as error:
            say(f"{compression}: {error}")
            continue
        contestants[compression] = Compared(scorer, vectors, codec)
    graded = max(max(grades.values()) for grades in collection.qrels.values()) > 1
    found = evaluate(
        collection,
        contestants,
        first_stage=run,
        top_k=TOP_K,
        min_grade=2 if graded else 1,
        cost=False,
        progress=show_progress,
    )
    ndcg = found.measures[0]
    exact = np.array(contestants[EXACT].scores)
    changes = {
        change.system: asdict(change)
        for change in found.differences
        if change.measure == ndcg and change.baseline == EXACT
    }
    means = {system.name: system.mean(ndcg) for system in found.systems}
    return {
        "queries": len(found.collection.queries),
        "candidates": len(wanted),
        "vectors": sum(map(len, vectors.values())),
        "dim": scorer.encoder.dim,
        "measure": ndcg,
        "rows": [
            {
                "compression": name,
                "bytes": one.record,
                "mean": means[name],
                "change": changes.get(name),
                "score_error": float(np.abs(np.array(one.scores) - exact).mean()),
                "score_spread": float(exact.std()),
            }
            for name, one in contestants.items()
        ],
    }


def _through(codec: Codec, vectors: torch.Tensor) -> torch.Tensor:
    made = torch.frombuffer(bytearray(codec.compress(vectors)), dtype=torch.uint8)
    return codec.decompress(made.view(len(vectors), -1))


def _codec(compression: str, dim: int, vectors: Mapping[str, torch.Tensor]) -> Codec:
    bits = bits_of(compression)
    if bits is None:
        return make_codec(compression, dim)
    from rag_rerankers.store.residual import learn

    rows: list[torch.Tensor] = []
    n = 0
    for one in vectors.values():  # in the order of the queries, which is none
        rows.append(one)
        n += len(one)
        if n >= SAMPLE:
            break
    return make_codec(compression, dim, learn(torch.cat(rows), bits))


if __name__ == "__main__":
    main()
