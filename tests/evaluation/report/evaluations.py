"""Evaluations worked out by hand, for tests of the page."""

from __future__ import annotations

from dataclasses import replace

from rag_rerankers.evaluation import Collection, Comparison, Evaluation, Run, System
from rag_rerankers.evaluation.comparison import QueryComparison
from rag_rerankers.evaluation.cost import Cost, Latency, Probe
from rag_rerankers.evaluation.significance import Difference

__all__ = ["difference", "renamed", "small", "with_agreement", "with_models"]

MEASURE = "MRR@10"
QUERIES = {"q1": "one?", "q2": "two?", "q3": "three?", "q4": "four?"}
# z is relevant, but no candidate.
QRELS = {"q1": {"b": 2}, "q2": {"a": 1, "c": 1, "b": 0}, "q3": {"a": 1, "z": 1}, "q4": {"b": 1}}
FIRST = {"q1": list("abc"), "q2": list("abc"), "q3": list("ab"), "q4": list("bacd")}
MODEL = {"q1": list("bac"), "q2": list("cba"), "q3": list("ab"), "q4": list("acdb")}


def small() -> Evaluation:
    """Four queries, one model: q1 gains .5, q4 loses .75, two stay.

    Relevant passages: b of q1 2 -> 1, c of q2 3 -> 1, a of q2 1 -> 3, a of q3 1 -> 1,
    b of q4 1 -> 4.
    """
    documents = {id_: f"text of {id_}" for id_ in "abcd"}
    before = {"q1": 0.5, "q2": 1.0, "q3": 1.0, "q4": 1.0}
    after = {"q1": 1.0, "q2": 1.0, "q3": 1.0, "q4": 0.25}
    first = System("bm25", Run("bm25", FIRST), {MEASURE: before})
    model = System("mine", Run("mine", MODEL), {MEASURE: after}, cost(20.0))
    return Evaluation(
        collection=Collection("made", documents, QUERIES, QRELS),
        top_k=4,
        measures=(MEASURE,),
        first=first,
        models=(model,),
        differences=(difference("mine"),),
        agreement=(pair("bm25", "mine", 0.625, 0.25),),
        environment={"python": "3.x"},
    )


def cost(p50: float) -> Cost:
    """A cost of which only the latency is known."""
    return Cost(Latency(4, 3.0, p50, 2 * p50), 100.0, None, 0, None, None, Probe())


def difference(system: str, **changes: object) -> Difference:
    """A model against the first stage; means .875 and .8125 unless told otherwise."""
    found = Difference(
        *(MEASURE, "bm25", system),
        **{"before": 0.875, "after": 0.8125, "low": -0.4, "high": 0.3, "p_value": 0.75},
        **{"wins": 1, "losses": 1, "ties": 2},
    )
    return replace(found, **changes)


def pair(first: str, second: str, overlap: float, tau: float) -> Comparison:
    """How much two systems agree, about one query."""
    return Comparison(first, second, 10, (QueryComparison("q1", overlap, tau, 1.5, ()),))


def with_models(n: int, evaluation: Evaluation | None = None) -> Evaluation:
    """The same model under n names, each slower than the one before."""
    old = evaluation or small()
    models = tuple(
        replace(old.models[0], name=f"model-{place}", cost=cost(5.0 * 3**place))
        for place in range(n)
    )
    return replace(
        old,
        models=models,
        differences=tuple(difference(model.name) for model in models),
        agreement=(),
    )


def with_agreement() -> Evaluation:
    """Two models, and all three pairs."""
    return replace(
        with_models(2),
        agreement=(
            pair("bm25", "model-0", 0.41, 0.12),
            pair("bm25", "model-1", 0.52, -0.23),
            pair("model-0", "model-1", 0.63, 0.34),
        ),
    )


def renamed(evaluation: Evaluation, text: str) -> Evaluation:
    """The same, with this text wherever people write one."""
    (model,) = evaluation.models
    old = evaluation.collection
    return replace(
        evaluation,
        collection=replace(
            old,
            name=text,
            documents={id_: text + id_ for id_ in old.documents},
            queries={id_: text + id_ for id_ in old.queries},
        ),
        models=(replace(model, name=text),),
        differences=(difference(text),),
        agreement=(pair("bm25", text, 0.5, 0.5),),
        groups={text: {text + "x": ["q1", "q2"], text + "y": ["q3", "q4"]}},
        environment={text: text},
    )
