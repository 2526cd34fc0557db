"""What an evaluation costs besides the model.

    python -m benchmarks.harness FOLDER [--queries 1000] [--top-k 50] [--model MODEL]

The scorer's own time is taken inside the evaluation, so that noise hits both alike. Without a
model, a scorer that counts common words stands in: what is left is the harness.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rag_rerankers import Scorer, load_scorer
from rag_rerankers.evaluation import evaluate, load_collection
from rag_rerankers.evaluation.first_stage import first_stage
from rag_rerankers.evaluation.report.page import write_page


class CommonWords:
    """Counts the words that query and text share."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One count a text."""
        words = set(query.lower().split())
        return [float(len(words & set(text.lower().split()))) for text in texts]


class Timed:
    """A scorer that knows how long it worked."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.seconds = 0.0
        self.texts = 0

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """As the scorer."""
        started = time.perf_counter()
        scores = self.scorer.score(query, texts)
        self.seconds += time.perf_counter() - started
        self.texts += len(texts)
        return scores


def main() -> None:
    """Evaluate once, and say where the time went."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--top-k", type=int, default=50)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    scorer = Timed(load_scorer(arguments.model) if arguments.model else CommonWords())
    started = time.perf_counter()
    collection = load_collection(arguments.folder).sample(arguments.queries)
    run, _ = first_stage("bm25", collection, arguments.top_k)
    read = time.perf_counter()
    found = evaluate(collection, [scorer], first_stage=run, top_k=arguments.top_k, cost=False)
    measured = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_page(Path(folder) / "report.html", found)
    page = time.perf_counter()
    cost = found.models[0].cost
    assert cost is not None
    alone = scorer.texts / scorer.seconds
    print(
        f"{len(collection.queries):,} queries, {scorer.texts:,} texts\n"
        f"the scorer alone      {scorer.seconds:8.1f} s   {alone:10,.1f} texts/s\n"
        f"the reranking loop    {scorer.texts / cost.texts_per_second:8.1f} s   "
        f"{cost.texts_per_second:10,.1f} texts/s   {cost.texts_per_second / alone:.1%}\n"
        f"evaluate() in all     {measured - read:8.1f} s   "
        f"{scorer.texts / (measured - read):10,.1f} texts/s   "
        f"{scorer.seconds / (measured - read):.1%}\n"
        f"data and bm25         {read - started:8.1f} s\n"
        f"HTML report           {page - measured:8.1f} s"
    )


if __name__ == "__main__":
    main()
