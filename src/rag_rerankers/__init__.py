"""Reranking for RAG: cross-encoders and late interaction behind one small interface.

Importing this package loads neither torch nor transformers; a model's scorer does.
"""

from __future__ import annotations

from rag_rerankers.cancellation import check_cancelled
from rag_rerankers.checkpoints import ALIASES, Checkpoint
from rag_rerankers.errors import (
    CircuitOpenError,
    DataError,
    MissingExtraError,
    ModelLoadError,
    OutOfMemoryError,
    PlaidIndexError,
    RemoteError,
    RemoteTimeoutError,
    RerankError,
    RerankSkippedWarning,
    ScoreError,
    StoreError,
    TruncationWarning,
    UnsafeWeightsError,
)
from rag_rerankers.explanation import Explanation, TokenMatch
from rag_rerankers.options import ModelOptions
from rag_rerankers.remote import RemoteScorer
from rag_rerankers.reranker import Reranker
from rag_rerankers.scorers import load_scorer
from rag_rerankers.scorers.cascade import CascadeScorer
from rag_rerankers.sharing import ashared_reranker, clear_shared_rerankers, shared_reranker
from rag_rerankers.store import StoreInfo, TokenStore, Warmed
from rag_rerankers.types import (
    AsyncScorer,
    CalibratedScorer,
    CalibratedScores,
    RankedDocument,
    Scorer,
)

__version__ = "0.1.0"

__all__ = [
    "ALIASES",
    "AsyncScorer",
    "CalibratedScorer",
    "CalibratedScores",
    "CascadeScorer",
    "Checkpoint",
    "CircuitOpenError",
    "DataError",
    "Explanation",
    "MissingExtraError",
    "ModelLoadError",
    "ModelOptions",
    "OutOfMemoryError",
    "PlaidIndexError",
    "RankedDocument",
    "RemoteError",
    "RemoteScorer",
    "RemoteTimeoutError",
    "RerankError",
    "RerankSkippedWarning",
    "Reranker",
    "ScoreError",
    "Scorer",
    "StoreError",
    "StoreInfo",
    "TokenMatch",
    "TokenStore",
    "TruncationWarning",
    "UnsafeWeightsError",
    "Warmed",
    "__version__",
    "ashared_reranker",
    "check_cancelled",
    "clear_shared_rerankers",
    "load_scorer",
    "shared_reranker",
]
