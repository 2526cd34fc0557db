"""A runner that stands in for a model, and records what it is asked to compute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from rag_rerankers.engine import Engine, Job
from rag_rerankers.engine.lanes import Lanes
from rag_rerankers.tokenization import TokenSequence

__all__ = ["Held", "Summing", "collect", "idle", "rows", "run", "sums", "until"]


class Summing:
    """A sequence's logit is the sum of its ids; a token's hidden state is its id.

    Args:
        memory: Tokens that fit; more raise what a full accelerator raises.
        padded: Whether every sequence costs as much as the longest.
        equal_lengths: Whether it must not be given different lengths together.

    Attributes:
        batches: Tokens of each pass that was computed.
        passes: First ids of the sequences of each pass, in the order in which passes began.
        threads: Names of the threads that computed them.
        bad: Ids that cannot be computed.
        error: What is raised for them; for any batch if there are none.
        gate: Passes begin, and then wait for it; it is open unless a test closes it.
        entered: Released once for every pass that has begun.
    """

    def __init__(
        self, memory: int | None = None, padded: bool = False, equal_lengths: bool = False
    ) -> None:
        self.memory = memory
        self.padded = padded
        self.equal_lengths = equal_lengths
        self.batches: list[int] = []
        self.passes: list[list[int]] = []
        self.threads: list[str] = []
        self.inference: list[bool] = []
        self.at_once = 0
        self.most_at_once = 0
        self.bad: set[int] = set()
        self.error: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self._lock = threading.Lock()

    def logits(self, batch: Sequence[TokenSequence]) -> torch.Tensor:
        self._compute(batch)
        return torch.tensor([float(sum(row.ids)) for row in batch])

    def hidden(self, batch: Sequence[TokenSequence]) -> torch.Tensor:
        self._compute(batch)
        return torch.tensor([[float(id_)] for row in batch for id_ in row.ids])

    def _compute(self, batch: Sequence[TokenSequence]) -> None:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.inference.append(torch.is_inference_mode_enabled())
            self.passes.append([row.ids[0] for row in batch])
            self.threads.append(threading.current_thread().name)
        self.entered.release()
        try:
            assert self.gate.wait(20)
            lengths = [len(row.ids) for row in batch]
            tokens = len(lengths) * max(lengths) if self.padded else sum(lengths)
            assert not self.equal_lengths or len(set(lengths)) == 1
            if self.error is not None and (
                not self.bad or self.bad & {id_ for row in batch for id_ in row.ids}
            ):
                raise self.error
            if self.memory is not None and tokens > self.memory:
                raise torch.OutOfMemoryError(f"tried to allocate {tokens}")
            with self._lock:
                self.batches.append(tokens)
        finally:
            with self._lock:
                self.at_once -= 1


def rows(*lengths: int, caller: int = 0) -> list[TokenSequence]:
    """Sequences of these lengths; no two of them, of any caller, share an id."""
    start = 1000 * caller
    return [
        TokenSequence(list(range(100_000 * (start + n), 100_000 * (start + n) + length)))
        for n, length in enumerate(lengths, 1)
    ]


def sums(sequences: Sequence[TokenSequence]) -> list[float]:
    """What :class:`Summing` has to make of them, in float32."""
    return torch.tensor([float(sum(row.ids)) for row in sequences]).tolist()


def run(
    lanes: Lanes, sequences: Sequence[TokenSequence], after: Callable[[list[int], Any], Any]
) -> Iterator[tuple[list[int], Any]]:
    """What an engine makes of its lanes."""
    with Job(lanes, lanes.submit(sequences, after)) as job:
        yield from job


def collect(on: Engine | Lanes, sequences: Sequence[TokenSequence]) -> list[float]:
    """The logits of an engine or of lanes, in order; fails if one comes twice or not at all."""
    found: list[float | None] = [None] * len(sequences)
    lanes = on._lanes if isinstance(on, Engine) else on
    for indices, output in run(lanes, sequences, lambda _, output: output):
        for index, value in zip(indices, output.tolist(), strict=True):
            assert found[index] is None, "scored twice"
            found[index] = value
    assert None not in found
    return [value for value in found if value is not None]


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for other threads."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.002)


def idle(lanes: Lanes) -> bool:
    """Nothing is computed, and nothing could be."""
    with lanes._lock:
        return not lanes._running and lanes._queue.pending(lanes._most_held()) == (0, 0)


class Held:
    """Lanes of one thread that is busy with somebody's only sequence, until it is let go."""

    def __init__(self, lanes: Lanes, callers: ThreadPoolExecutor) -> None:
        self.lanes, self.runner = lanes, lanes._runner
        self._callers = callers
        self.runner.gate.clear()
        self._sequences = rows(1)
        self._first = callers.submit(collect, lanes, self._sequences)
        assert self.runner.entered.acquire(timeout=20)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start it, and wait until it stands in the queue."""
        n_before = len(self.lanes._queue._requests)
        future = self._callers.submit(work, *arguments)
        until(lambda: len(self.lanes._queue._requests) > n_before)
        return future

    def go(self) -> None:
        self.runner.gate.set()
        assert self._first.result(20) == sums(self._sequences)
