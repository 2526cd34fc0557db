"""Whole collections on many machines: Parquet in, Parquet out, with Ray Data.

Needs the extra ``ray``, here and on every machine of the cluster. Importing this package loads
neither Ray nor pyarrow.
"""

from __future__ import annotations

from rag_rerankers.distributed.encode import encode_parquet
from rag_rerankers.distributed.report import Report
from rag_rerankers.distributed.score import score_parquet

__all__ = ["Report", "encode_parquet", "score_parquet"]
