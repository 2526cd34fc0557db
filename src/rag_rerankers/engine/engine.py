"""Sequences in, outputs out: one model, any number of callers."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from transformers import PreTrainedModel

from rag_rerankers.batching import Request
from rag_rerankers.engine.device import default_batch_tokens
from rag_rerankers.engine.lanes import Lanes
from rag_rerankers.engine.probe import choose_runner
from rag_rerankers.metering import count
from rag_rerankers.tokenization import TokenSequence

__all__ = ["Engine", "Job"]

Result = TypeVar("Result")


class Engine:
    """Runs one model for any number of threads.

    Callers that are there at the same time share forward passes.

    Args:
        model: A loaded model, on its device, in its dtype.
        pad_id: Id to fill padded rows with.
        with_logits: Whether the model gives one logit per sequence, or hidden states.
        batch_tokens: Tokens per forward pass; None for the device's default.
        wrap: Makes a sequence that the model can read from the ids of a text; used to find out
            whether the model can run packed.
        int8: Multiply in int8; the model is float32 and on the CPU.

    Attributes:
        dtype: What is multiplied.
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
        int8: bool = False,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.device = model.device
        self.dtype = torch.int8 if int8 else model.dtype
        self._runner = choose_runner(self.model, pad_id, wrap, with_logits=with_logits, int8=int8)
        self._lanes = Lanes(
            self._runner,
            with_logits=with_logits,
            device=self.device,
            batch_tokens=batch_tokens or default_batch_tokens(self.device),
        )
        # The threads know the lanes but not the engine: they end when nobody uses it any more.
        # At exit others see to that, after the program's own exit hooks.
        weakref.finalize(self, self._lanes.stop).atexit = False

    @property
    def packed(self) -> bool:
        """Whether the model runs without padding."""
        return not self._runner.padded

    @property
    def batch_tokens(self) -> int:
        """The budget; halved when an accelerator runs out of memory."""
        return self._lanes.batch_tokens

    def start(
        self,
        sequences: Sequence[TokenSequence],
        after: Callable[[list[int], torch.Tensor], Result],
        *,
        first: int | None = None,
    ) -> Job[Result]:
        """Begin to run sequences, in batches, in no particular order, on other threads.

        Args:
            sequences: What to run.
            after: Makes something of a batch, on the thread that computed it: gets indices into
                ``sequences`` and their outputs: logits, shape (indices,), float32, or hidden
                states, shape (tokens of these sequences, width), in the order of the indices.
            first: A sequence that the first batch is to hold, however short it is.

        Returns:
            To be iterated over once, in a ``with`` block: leaving it gives up what is left.
        """
        return Job(self._lanes, self._lanes.submit(sequences, after, first))

    def run(
        self,
        sequences: Sequence[TokenSequence],
        after: Callable[[list[int], torch.Tensor], Result],
    ) -> Iterator[tuple[list[int], Result]]:
        """:meth:`start`, and what comes of it: the indices of each batch and its result.

        Raises:
            OutOfMemoryError: The accelerator cannot hold one sequence alone.
        """
        with self.start(sequences, after) as job:
            yield from job


class Job(Generic[Result]):
    """Sequences that are being run."""

    def __init__(self, lanes: Lanes, request: Request) -> None:
        self._lanes = lanes
        self._request = request

    def __enter__(self) -> Job[Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what has not been computed."""
        self._lanes.withdraw(self._request)

    def __iter__(self) -> Iterator[tuple[list[int], Result]]:
        for indices, result in self._lanes.results(self._request):
            count(tokens=self._request.tokens(indices))
            yield indices, result
