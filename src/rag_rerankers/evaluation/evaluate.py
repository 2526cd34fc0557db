"""The evaluation: candidates, reranking, measures, tests, cost."""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from typing import Any

from rag_rerankers.errors import DataError, TruncationWarning
from rag_rerankers.evaluation.collection import Collection
from rag_rerankers.evaluation.comparison import compare
from rag_rerankers.evaluation.cost import Cost, Probe, Sample, latency, probe_alone, probe_here
from rag_rerankers.evaluation.first_stage import first_stage as find_candidates
from rag_rerankers.evaluation.groups import Groups, groups_of
from rag_rerankers.evaluation.loading import load_collection
from rag_rerankers.evaluation.measures import default_measures, measure, parse_measures
from rag_rerankers.evaluation.progress import Progress, silent
from rag_rerankers.evaluation.results import Evaluation, System
from rag_rerankers.evaluation.runs import Run
from rag_rerankers.evaluation.significance import Difference, compare_values
from rag_rerankers.evaluation.skipped import refuse_skipped
from rag_rerankers.evaluation.systems import Candidate, Model, candidates
from rag_rerankers.metering import metered
from rag_rerankers.options import ModelOptions
from rag_rerankers.remote.endpoint import is_url
from rag_rerankers.reranker import Reranker

__all__ = ["assess", "evaluate", "rerank"]

_SAMPLED = 4


def evaluate(
    data: Collection | str | os.PathLike[str],
    models: Mapping[str, Model] | Sequence[Model] | str,
    *,
    first_stage: Run | str | os.PathLike[str] = "bm25",
    top_k: int = 100,
    measures: Sequence[str] | None = None,
    min_grade: int = 1,
    by: Sequence[str] = (),
    options: ModelOptions | None = None,
    embedding: Any = "minilm",
    cost: bool = True,
    lenient: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Rerank a first stage by every model, and measure before and after.

    Args:
        data: A collection, or what :func:`load_collection` takes.
        models: What :class:`~rag_rerankers.Reranker` takes, a ready Reranker, or names to these;
            a string may carry options (``"minilm-maxsim,dtype=float32"``) and be a cascade
            (``"colbertv2>bge-reranker-v2-m3,keep=15"``).
        first_stage: ``"bm25"``, ``"dense"``, ``"given"``, a run file, or a :class:`Run`.
        top_k: Candidates per query.
        measures: Names that ir-measures knows, the main one first; by default
            :func:`~rag_rerankers.evaluation.measures.default_measures`.
        min_grade: The lowest grade that counts as relevant, where ``measures`` is not given.
        by: Fields of the queries to report apart; languages always are.
        options: How to load models that are given by name.
        embedding: For ``"dense"``: an embedding of LangChain or LlamaIndex.
        cost: Also time small batches and read the memory, in a process of its own for each model
            that is given by name; of a cascade only the time, in this one.
        lenient: Count mistakes in the data and go on.
        progress: Shows how far it is.

    Returns:
        The figures, with everything that the reports need.

    Raises:
        DataError: The data or the run cannot be used.
        ModelLoadError: A model cannot be loaded.
        ValueError: An argument is out of range.
        MissingExtraError: The extra ``eval`` is not installed.
        RerankError: Scoring failed; also if ``on_failure="keep_order"`` passed over it.
    """
    if top_k < 1:
        raise ValueError(f"top_k must be 1 or more, not {top_k}")
    if min_grade < 1:
        raise ValueError(f"min_grade must be 1 or more, not {min_grade}")
    wanted = [measures] if isinstance(measures, str) else measures
    names = tuple(wanted or default_measures(top_k, min_grade))
    # What is wrong is told before hours of work.
    parse_measures(names)
    chosen = candidates(models, options)
    collection = data if isinstance(data, Collection) else load_collection(data, lenient=lenient)
    if not collection.queries:
        raise DataError(f"{collection.name} has no queries: there is nothing to ask")
    groups = groups_of(collection, by)
    if isinstance(first_stage, Run):
        run = first_stage.of(collection.queries).top(top_k)
        if not set(first_stage.rankings) & set(collection.queries):
            raise DataError(f"{run.name} ranks none of the queries of {collection.name}")
    else:
        run, collection = find_candidates(
            first_stage,
            collection,
            top_k,
            embedding=embedding,
            lenient=lenient,
            progress=progress,
        )
    same = [candidate.name for candidate in chosen if candidate.name == run.name]
    if same:
        raise ValueError(f"a model is called {same[0]!r}, as the first stage is: rename one")
    reranked = [_reranked(one, collection, run, cost=cost, progress=progress) for one in chosen]
    return assess(collection, run, reranked, top_k=top_k, measures=names, groups=groups)


def rerank(
    reranker: Reranker, collection: Collection, run: Run, progress: Progress = silent
) -> tuple[Run, Cost | None]:
    """Rerank the candidates of every query.

    Candidates that the collection has no text for follow behind the others, in their old order.

    Returns:
        The new run, and what it cost; None if there was nothing to rerank.
    """
    rankings: dict[str, list[str]] = {}
    scores: dict[str, list[float]] = {}
    seconds: list[float] = []
    counts: list[int] = []
    queries = [(id_, text) for id_, text in collection.queries.items() if run.rankings.get(id_)]
    with warnings.catch_warnings(), metered() as meter:
        # Told once a query otherwise; the meter counts it.
        warnings.simplefilter("ignore", TruncationWarning)
        for id_, text in progress(f"reranking by {reranker.name}", queries, len(queries)):
            found = [doc_id for doc_id in run.rankings[id_] if doc_id in collection.documents]
            rest = [doc_id for doc_id in run.rankings[id_] if doc_id not in collection.documents]
            texts = [collection.documents[doc_id] for doc_id in found]
            started = time.perf_counter()
            hits = reranker.rank(text, texts)
            seconds.append(time.perf_counter() - started)
            refuse_skipped(meter, text)
            counts.append(len(texts))
            rankings[id_] = [*(found[hit.index] for hit in hits), *rest]
            # Without scores for the rest, the run file is written by rank.
            scores[id_] = [] if rest else [hit.score for hit in hits]
    ranked = Run(reranker.name, {id_: rankings.get(id_, []) for id_ in collection.queries}, scores)
    if not sum(counts):
        return ranked, None
    engine = getattr(reranker.scorer, "engine", None)
    return ranked, Cost(
        query=latency(seconds, counts),
        texts_per_second=sum(counts) / sum(seconds),
        tokens_per_text=meter.tokens / sum(counts) if meter.tokens else None,
        cut=meter.cut,
        device=str(engine.device) if engine is not None else None,
        dtype=str(engine.dtype).removeprefix("torch.") if engine is not None else None,
        probe=Probe(),
    )


def assess(
    collection: Collection,
    run: Run,
    reranked: Iterable[tuple[Run, Cost | None]],
    *,
    top_k: int,
    measures: Sequence[str],
    groups: Groups | None = None,
) -> Evaluation:
    """Measure and compare rankings that are there already.

    Args:
        collection: Queries, judgments, texts.
        run: The first stage.
        reranked: Other rankings of the same queries, and what they cost.
        top_k: How far down the rankings go.
        measures: Names that ir-measures knows, the main one first.
        groups: What :func:`~rag_rerankers.evaluation.groups.groups_of` found.

    Raises:
        ValueError: Two systems have one name.
    """
    names = tuple(measures)
    reranked = list(reranked)
    called = [run.name, *(ranked.name for ranked, _ in reranked)]
    for name in called:
        if called.count(name) > 1:
            raise ValueError(f"two systems are called {name!r}: rename one")
    first = System(run.name, run, measure(names, collection.qrels, run))
    models = tuple(
        System(ranked.name, ranked, measure(names, collection.qrels, ranked), spent)
        for ranked, spent in reranked
    )
    systems = (first, *models)
    return Evaluation(
        collection=collection,
        top_k=top_k,
        measures=names,
        first=first,
        models=models,
        differences=tuple(_differences(systems, names)),
        agreement=tuple(compare(a.run, b.run) for a, b in combinations(systems, 2)),
        groups=groups or {},
        environment=_environment(),
    )


def _reranked(
    candidate: Candidate, collection: Collection, run: Run, *, cost: bool, progress: Progress
) -> tuple[Run, Cost | None]:
    sample = _sample(collection, run)
    probed: Probe | None = None
    # A cascade's memory is that of its models together: each is measured alone.
    by_name = isinstance(candidate.model, (str, os.PathLike)) and candidate.keep is None
    # A server's memory is not measured from here.
    by_name = by_name and not is_url(os.fspath(candidate.model))  # type: ignore[arg-type]
    if cost and by_name and sample:
        # Before the model is loaded here: both at once might not fit.
        probed = probe_alone(os.fspath(candidate.model), candidate.options, sample)  # type: ignore[arg-type]
    reranker = candidate.load()
    ranked, spent = rerank(reranker, collection, run, progress)
    if cost and not by_name and sample:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)
            probed = probe_here(reranker.scorer, sample)
    if spent is not None and probed is not None:
        spent = replace(spent, probe=probed)
    return Run(candidate.name, ranked.rankings, ranked.scores), spent


def _sample(collection: Collection, run: Run) -> Sample:
    """A few queries from all over, with the texts of their candidates."""
    queries = [id_ for id_ in collection.queries if run.rankings.get(id_)]
    step = max(1, len(queries) // _SAMPLED)
    return [
        (
            collection.queries[id_],
            [collection.documents[d] for d in run.rankings[id_] if d in collection.documents],
        )
        for id_ in queries[::step][:_SAMPLED]
    ]


def _differences(systems: Sequence[System], names: Sequence[str]) -> Iterable[Difference]:
    for baseline, system in combinations(systems, 2):
        for name in names:
            yield compare_values(
                name, (baseline.name, baseline.values[name]), (system.name, system.values[name])
            )


def _environment() -> dict[str, str]:
    packages = ("rag-rerankers", "torch", "transformers", "ir-measures", "bm25s")
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        **{package: _version(package) for package in packages},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
