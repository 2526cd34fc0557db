"""Decides by trying whether a model can run packed.

No list of architectures: a few short sequences go through the model's own padded forward pass
and through the packed one. Packed is used if, and only if, both give the same numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch
from transformers import PreTrainedModel

from rag_rerankers.engine.attention import PACKED_ATTENTION
from rag_rerankers.engine.heads import HEADS, Head
from rag_rerankers.engine.runners import PackedRunner, PaddedRunner, Runner
from rag_rerankers.quiet import quiet_transformers
from rag_rerankers.tokenization import TokenSequence

__all__ = ["choose_runner"]

logger = logging.getLogger(__name__)

# Largest difference, relative to the size of the numbers, that is rounding and not a mistake.
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}


def choose_runner(model: PreTrainedModel, pad_id: int, *, with_logits: bool) -> Runner:
    """Return the packed runner if the model can run packed, else the padded one.

    Args:
        model: A loaded model in evaluation mode on its device. Its attention is switched to the
            packed one if that works.
        pad_id: Id to fill padded rows with.
        with_logits: Whether the logits are wanted (a cross-encoder) or the hidden states.
    """
    padded = PaddedRunner(model, pad_id)
    batch = list(_sequences(model, partly_hidden=not with_logits))
    own_attention = model.config._attn_implementation
    with torch.inference_mode():
        expected = padded.logits(batch) if with_logits else padded.hidden(batch)
        try:
            with quiet_transformers():
                model.set_attn_implementation(PACKED_ATTENTION)
            for head in HEADS if with_logits else (None,):
                runner = _matching(model, head, batch, expected)
                if runner is not None:
                    return runner
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # Whatever goes wrong here only says that this architecture is not made for it.
            logger.debug("%s cannot run packed: %s", type(model).__name__, error, exc_info=True)
        with quiet_transformers():
            model.set_attn_implementation(own_attention)
    logger.info("%s runs padded: its own code does not allow packing", type(model).__name__)
    return padded


def _matching(
    model: PreTrainedModel, head: Head | None, batch: list[TokenSequence], expected: torch.Tensor
) -> PackedRunner | None:
    try:
        runner = PackedRunner(model, head)
        got = runner.hidden(batch) if head is None else runner.logits(batch)
    except (AttributeError, TypeError) as error:
        if head is None:
            raise
        logger.debug("not the head of %s: %s", type(model).__name__, error)
        return None
    if got.shape != expected.shape:
        return None
    difference = (got.float() - expected.float()).norm() / expected.float().norm().clamp_min(1e-6)
    # "<=" is False for NaN as well.
    return runner if difference <= _TOLERANCE[model.dtype] else None


def _sequences(model: PreTrainedModel, *, partly_hidden: bool) -> Iterator[TokenSequence]:
    """Different lengths, one of them longer than a sliding window, one partly unattended."""
    lengths = [9, 4, 6, 6]
    config = model.config
    window = getattr(config, "sliding_window", None) or getattr(config, "local_attention", None)
    longest = getattr(config, "max_position_embeddings", None) or 512
    if isinstance(window, int):
        lengths.append(min(2 * window + 3, longest - 2))
    generator = torch.Generator().manual_seed(0)
    for i, length in enumerate(lengths):
        # The first ids of a vocabulary are padding and other specials.
        ids = torch.randint(5, model.config.vocab_size, (length,), generator=generator).tolist()
        yield TokenSequence(ids, attended=length - 3 if i == 0 and partly_hidden else None)
