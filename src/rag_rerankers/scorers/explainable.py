"""Why a model cannot say which token matched which."""

from __future__ import annotations

from rag_rerankers.scorers.cascade import CascadeScorer
from rag_rerankers.types import ExplainingScorer, Scorer

__all__ = ["why_not_explained"]


def why_not_explained(name: str, scorer: Scorer) -> str:
    """What to tell, and what to do instead."""
    if isinstance(scorer, CascadeScorer):
        for number, stage in enumerate(scorer.stages):
            if isinstance(stage, ExplainingScorer):
                return (
                    f"{name!r} is a cascade: explain the text with its late-interaction "
                    f"stage itself, Reranker(reranker.scorer.stages[{number}]).explain(...)"
                )
    return (
        f"{name!r} cannot be explained token by token: only late-interaction models "
        "(colbertv2, minilm-maxsim, ...) compare the tokens of query and text one by one"
    )
