"""The loop: sequences in, outputs per batch out, within a token budget."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import PreTrainedModel

from rag_rerankers.batching import longest_first, take_batch
from rag_rerankers.cancellation import check_cancelled
from rag_rerankers.engine.device import default_batch_tokens
from rag_rerankers.engine.probe import choose_runner
from rag_rerankers.errors import OutOfMemoryError
from rag_rerankers.metering import count
from rag_rerankers.tokenization import TokenSequence

__all__ = ["Engine"]

logger = logging.getLogger(__name__)

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine:
    """Runs one model for any number of threads.

    Args:
        model: A loaded model, on its device, in its dtype.
        pad_id: Id to fill padded rows with.
        with_logits: Whether the model gives one logit per sequence, or hidden states.
        batch_tokens: Tokens per forward pass; None for the device's default.
        wrap: Makes a sequence that the model can read from the ids of a text; used to find out
            whether the model can run packed.

    Attributes:
        batch_tokens: The budget; halved when an accelerator runs out of memory.
        packed: Whether the model runs without padding.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        pad_id: int,
        *,
        with_logits: bool,
        batch_tokens: int | None = None,
        wrap: Callable[[Sequence[int]], TokenSequence] = TokenSequence,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.device = model.device
        self.dtype = model.dtype
        self.batch_tokens = batch_tokens or default_batch_tokens(self.device)
        self._runner = choose_runner(self.model, pad_id, wrap, with_logits=with_logits)
        self._forward = self._runner.logits if with_logits else self._runner.hidden
        # One forward pass at a time: it uses all cores by itself, and a second one beside it
        # would only fight for them (or for the accelerator's memory).
        self._lock = threading.Lock()
        _engines.add(self)

    @property
    def packed(self) -> bool:
        """Whether the model runs without padding."""
        return not self._runner.padded

    def run(self, sequences: Sequence[TokenSequence]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Run all sequences, longest first.

        Args:
            sequences: What to run.

        Yields:
            Indices into ``sequences`` and their outputs: logits, shape (indices,), or hidden
            states, shape (tokens of these sequences, width), in the order of the indices.

        Raises:
            OutOfMemoryError: The accelerator cannot hold one sequence alone.
        """
        lengths = [len(sequence.ids) for sequence in sequences]
        order = longest_first(lengths)
        start = 0
        while start < len(order):
            check_cancelled()
            batch = take_batch(
                lengths,
                order,
                start,
                self.batch_tokens,
                padded=self._runner.padded,
                equal=self._runner.equal_lengths,
            )
            output = self._try([sequences[i] for i in batch])
            if output is None:
                continue  # out of memory: the same sequences again, in smaller batches
            count(tokens=sum(lengths[i] for i in batch))
            yield batch, output
            start += len(batch)

    def _try(self, batch: list[TokenSequence]) -> torch.Tensor | None:
        try:
            with self._lock, torch.inference_mode():
                return self._forward(batch)
        except torch.OutOfMemoryError as error:
            # Only accelerators raise this type. Every other error surfaces as it is.
            tokens = sum(len(sequence.ids) for sequence in batch)
            if len(batch) == 1:
                raise OutOfMemoryError(
                    f"{self.device} cannot hold one sequence of {tokens} tokens: use a smaller "
                    "max_length, a half-precision dtype, or device='cpu'"
                ) from error
            longest = len(batch[0].ids)
            self.batch_tokens = max(min(self.batch_tokens, tokens) // 2, longest)
            logger.warning(
                "%s is out of memory with %d tokens in a batch: going on with %d",
                self.device,
                tokens,
                self.batch_tokens,
            )
        # Outside the except block: the traceback no longer keeps the failed batch's tensors alive.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None


def _after_fork() -> None:
    """Make a forked child work: its parent's other threads do not exist in it."""
    if not _engines:
        return
    for engine in _engines:
        engine._lock = threading.Lock()  # perhaps held by a thread that is gone
    # So is OpenMP's team of threads, for which the first parallel step would wait for ever.
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
