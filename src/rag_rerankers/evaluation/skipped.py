"""A ranking that was skipped is no ranking, and must not be measured as one."""

from __future__ import annotations

from rag_rerankers.errors import RerankError
from rag_rerankers.metering import Meter

__all__ = ["refuse_skipped"]


def refuse_skipped(meter: Meter, query: str) -> None:
    """Stop where a reranker returned the texts in their given order because scoring failed.

    Args:
        meter: What counted the ranking.
        query: For the message.

    Raises:
        RerankError: That happened.
    """
    if meter.failure is not None:
        raise RerankError(
            f"the query {query!r:.100} was not reranked, and on_failure='keep_order' returned the "
            "first stage's order, which would be measured as the reranker's: "
            f"{type(meter.failure).__name__}: {meter.failure}. Evaluate with on_failure='raise'"
        ) from meter.failure
