from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from rag_rerankers.explanation import Explanation
from rag_rerankers.explanation.records import Token, TokenMatch
from rag_rerankers.server.explained import as_json
from rag_rerankers.server.schemas import ExplainedBody


def test_an_explanation_is_numbers_and_places():
    mark, panda = Token("[CLS]", "special"), Token("panda", "text", (0, 5))
    bear, dot = Token("bear", "text", (2, 6)), Token(".", "skipped", (6, 7))
    explanation = Explanation(
        query="panda",
        text="a bear.",
        score=1.25,
        relevance=0.75,
        mean=False,
        matches=(TokenMatch(mark, mark, 0, 0.75), TokenMatch(panda, bear, 1, 0.5)),
        tokens=(mark, bear, dot),
        similarities=((0.75, 0.25, float("-inf")), (0.125, 0.5, float("-inf"))),
    )
    body = as_json(explanation, "minilm-maxsim")
    assert body == {
        "model": "minilm-maxsim",
        "query": "panda",
        "text": "a bear.",
        "score": 1.25,
        "relevance": 0.75,
        "mean": False,
        "query_tokens": [
            {"text": "[CLS]", "kind": "special", "span": None},
            {"text": "panda", "kind": "text", "span": (0, 5)},
        ],
        "tokens": [
            {"text": "[CLS]", "kind": "special", "span": None},
            {"text": "bear", "kind": "text", "span": (2, 6)},
            {"text": ".", "kind": "skipped", "span": (6, 7)},
        ],
        "similarities": [[0.75, 0.25, None], [0.125, 0.5, None]],
        "matches": [
            {"query_token": 0, "token": 0, "similarity": 0.75},
            {"query_token": 1, "token": 1, "similarity": 0.5},
        ],
    }
    ExplainedBody.model_validate(body)
