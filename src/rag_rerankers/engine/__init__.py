"""Runs a transformer over token sequences: batched, packed, one forward pass at a time."""

from rag_rerankers.engine.engine import Engine, Job

__all__ = ["Engine", "Job"]
