"""Reranking by a server: the same ``score``, over HTTP.

What is sent and what its answer means (dialects, answers, detection, retrying, asking) does no
input or output: these are generators that yield what is to be done. Two thin drivers (driving) do
it, one for threads and one for asyncio.
"""

from __future__ import annotations

from rag_rerankers.remote.scorer import RemoteScorer

__all__ = ["RemoteScorer"]
