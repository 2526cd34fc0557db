"""Calls as users write them: checked by mypy, never run.

``type: ignore`` marks what must be an error; mypy reports an ignore that is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag_rerankers import (
    ALIASES,
    AsyncScorer,
    CalibratedScorer,
    CalibratedScores,
    CascadeScorer,
    Checkpoint,
    Explanation,
    MissingExtraError,
    ModelOptions,
    RankedDocument,
    RemoteError,
    RemoteScorer,
    Reranker,
    Scorer,
    TokenMatch,
    load_scorer,
    shared_reranker,
)
from rag_rerankers.plaid import PlaidHit, PlaidIndex

if TYPE_CHECKING:
    from typing_extensions import assert_type


class Overlap:
    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        words = set(query.split())
        return [float(len(words & set(text.split()))) for text in texts]


class Calibrated(Overlap):
    def relevance(self, query: str, scores: Sequence[float]) -> list[float]:
        return [min(1.0, score / len(query.split())) for score in scores]


class Wrong:
    def score(self, texts: Sequence[str]) -> list[float]:
        return [0.0 for _ in texts]


def models() -> None:
    Reranker()
    Reranker("bge-reranker-v2-m3", device="cuda:0", dtype="bfloat16", max_length=1024)
    Reranker(Path("models/colbert"), long_documents="max_passage", batch_tokens=4096)
    Reranker("owner/name", revision="main", local_files_only=True)
    Reranker(Overlap())
    Reranker(Calibrated())
    Reranker(Wrong())  # type: ignore[arg-type]
    Reranker(7)  # type: ignore[arg-type]
    Reranker("colbertv2", "cpu")  # type: ignore[call-arg]
    Reranker("colbertv2", max_length="512")  # type: ignore[arg-type]
    Reranker("colbertv2", top_n=5)  # type: ignore[call-arg]


def cascades() -> None:
    ready = Reranker("colbertv2", dtype="float32")
    assert_type(Reranker.cascade(["colbertv2", "bge-reranker-v2-m3"], keep=15), Reranker)
    Reranker.cascade([ready, Path("models/bge"), Overlap()], keep=[50, 10], device="cpu")
    scorer: CalibratedScorer = CascadeScorer([Overlap(), Calibrated()], 5)
    Reranker(scorer)
    CascadeScorer([ready, Overlap()])  # type: ignore[list-item]
    Reranker.cascade([Wrong(), 7])  # type: ignore[list-item]
    Reranker.cascade(["a", "b"], 15)  # type: ignore[call-arg]


async def servers() -> None:
    Reranker("http://host:8080", api_key="key", timeout=2.5, on_failure="keep_order")
    Reranker("http://host:8080", timeout="5")  # type: ignore[arg-type]
    Reranker(Overlap(), on_failure="keep_order")
    RemoteScorer("http://host:8080", model="m", dialect="tei", max_texts=32, retries=0)
    RemoteScorer("http://host:8080", "m")  # type: ignore[call-arg]
    with RemoteScorer("http://host") as remote:
        scorer: AsyncScorer = remote
        calibrated: CalibratedScorer = remote
        assert_type(remote.score("q", ["a"]), CalibratedScores)
        assert_type(remote.score("q", ["a"]).relevance, list[float])
    async with RemoteScorer("http://host") as remote:
        assert_type(await scorer.ascore("q", ["a"]), list[float])
        assert_type(calibrated.relevance("q", [1.0]), list[float])
    try:
        assert_type(Reranker(scorer).rank("q", ["a"])[0].scored, bool)
    except RemoteError as error:
        assert_type(error.status, int | None)
        assert_type(error.url, str)


def ranking(reranker: Reranker, texts: Iterable[str]) -> None:
    hits = reranker.rank("what is a panda?", texts, top_n=5, threshold=0.2)
    assert_type(hits, list[RankedDocument])
    assert_type(hits[0].index, int)
    assert_type(hits[0].text, str)
    assert_type(hits[0].score, float)
    assert_type(hits[0].relevance, float)
    reranker.rank("q", (text for text in texts))
    reranker.rank("q", ["a"], top_n=None)
    reranker.rank(None, texts)  # type: ignore[arg-type]
    reranker.rank("q", [1, 2])  # type: ignore[list-item]
    reranker.rank("q", texts, 5)  # type: ignore[call-arg]
    hits[0].score = 1.0  # type: ignore[misc]


def explaining(reranker: Reranker) -> None:
    explanation = reranker.explain("what is a panda?", "A bear.")
    assert_type(explanation, Explanation)
    assert_type(explanation.matches[0], TokenMatch)
    assert_type(explanation.matches[0].token.text, str)
    assert_type(explanation.matches[0].matched.span, tuple[int, int] | None)
    assert_type(explanation.matches[0].similarity, float)
    assert_type(explanation.similarities[0][0], float)
    assert_type(explanation.to_html(), str)
    assert_type(explanation.to_text(width=60), str)
    reranker.explain("q", ["a", "b"])  # type: ignore[arg-type]
    explanation.score = 1.0  # type: ignore[misc]


async def awaiting(reranker: Reranker) -> None:
    assert_type(await reranker.arank("q", ["a"], top_n=1), list[RankedDocument])


def scorers() -> None:
    plain: Scorer = Overlap()
    calibrated: CalibratedScorer = Calibrated()
    also_plain: Scorer = calibrated
    mistaken: CalibratedScorer = Overlap()  # type: ignore[assignment]
    assert_type(plain.score("q", ["a"]), list[float])
    assert_type(also_plain.score("q", ["a"]), list[float])
    assert_type(mistaken.relevance("q", [1.0]), list[float])
    assert_type(load_scorer("colbertv2", ModelOptions(device="cpu")), CalibratedScorer)
    assert_type(load_scorer(Path("folder")).score("q", ["a"]), list[float])
    assert_type(shared_reranker("colbertv2"), Reranker)


def plaid(reranker: Reranker) -> None:
    index = PlaidIndex.build("folder", ["a"], ["x"], reranker, metadatas=[{"page": 1}])
    PlaidIndex.open(Path("folder"), "colbertv2", device="cpu").add(["b"], ["y"])
    hits = index.search("q", k=3, exact=False)
    assert_type(hits, list[PlaidHit])
    assert_type(hits[0].id, str)
    hits[0].score = 1.0  # type: ignore[misc]
    PlaidIndex.build("folder", [1], ["x"])  # type: ignore[list-item]
    index.search("q", "3")  # type: ignore[arg-type]


def records(error: MissingExtraError) -> None:
    known: Mapping[str, Checkpoint] = ALIASES
    assert_type(known["colbertv2"].max_length, int)
    ALIASES["mine"] = known["colbertv2"]  # type: ignore[index]
    assert_type(error.extra, str)


def evaluation_as_users_write_it(retriever: object) -> None:
    from pathlib import Path

    from rag_rerankers.evaluation import compare, evaluate, evaluate_retriever, load_collection
    from rag_rerankers.evaluation.report.json_file import write_json
    from rag_rerankers.evaluation.report.page import write_page

    data = load_collection("folder", lenient=True).sample(100)
    found = evaluate(data, ["minilm-maxsim", Reranker()], first_stage="dense", top_k=50)
    named = evaluate("folder", {"mine": Reranker()}, first_stage=found.first.run)
    change: float = found.difference("nDCG@10", named.models[0].name).delta
    shared: float = compare(found.first.run, found.models[0].run, k=5).overlap
    write_page(Path("report.html"), evaluate_retriever(retriever, data))
    write_json(Path("report.json"), found)
    assert change + shared
