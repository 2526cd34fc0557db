"""How many tokens a model can read."""

from __future__ import annotations

from transformers import PreTrainedModel

from rag_rerankers.engine.runners import first_position

__all__ = ["checked_max_length", "position_capacity"]


def position_capacity(model: PreTrainedModel) -> int | None:
    """Tokens that the model has positions for; None if it has no limit."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    # RoBERTa's family numbers positions from behind the padding id: 514 of them hold 512 tokens.
    return positions - first_position(model)


def checked_max_length(asked: int | None, default: int, limit: int | None) -> int:
    """The length to use.

    Args:
        asked: What the user wants; None for the default.
        default: What is used unless the model can read less.
        limit: What the model can read; None for no limit.

    Raises:
        ValueError: More was asked for than the model can read.
    """
    if asked is None:
        return default if limit is None else min(default, limit)
    if limit is not None and asked > limit:
        raise ValueError(
            f"max_length {asked} is more than the {limit} tokens that this model can read: use "
            f"{limit} or less, and long_documents='max_passage' to read longer texts in windows"
        )
    return asked
