"""Three questions with their candidates, and a scorer that knows the answers."""

from __future__ import annotations

from rag_rerankers.evaluation import Collection, Run

__all__ = ["DATA", "STAGE", "TEXTS", "Oracle"]

TEXTS = {f"d{n}": f"text {n}" for n in range(1, 7)}
DATA = Collection(
    "made",
    TEXTS,
    {"q1": "one?", "q2": "two?", "q3": "three?"},
    qrels={"q1": {"d3": 1}, "q2": {"d1": 2, "d5": 1}, "q3": {"d2": 1}},
    fields={
        "q1": {"language": "en", "kind": "short"},
        "q2": {"language": "de", "kind": "long"},
        "q3": {"language": "en"},
    },
)
STAGE = Run("mine", {"q1": ["d1", "d2", "d3"], "q2": ["d4", "d5", "d1"], "q3": []})


class Oracle:
    """Scores by the judgments.

    Args:
        data: Holds them.
        sign: -1 puts the best last.
    """

    def __init__(self, data=DATA, sign=1):
        ids = {text: id_ for id_, text in data.documents.items()}
        asked = {text: id_ for id_, text in data.queries.items()}
        self.grade = lambda query, text: sign * data.qrels[asked[query]].get(ids[text], 0)
        self.calls = []

    def score(self, query, texts):
        self.calls.append((query, list(texts)))
        return [float(self.grade(query, text)) for text in texts]
