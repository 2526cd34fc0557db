"""The threads that compute: one forward pass each at a time, from one queue.

Two cores run two passes of one thread each faster than one pass of two threads: every step of a
pass would end with the threads waiting for each other, and on a machine with other work they wait
long. Only where there is nothing to divide, a single long text, do all cores share a pass.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rag_rerankers.batching import After, Part, Queue, Request
from rag_rerankers.cancellation import check_cancelled
from rag_rerankers.engine.runners import Runner
from rag_rerankers.errors import OutOfMemoryError
from rag_rerankers.tokenization import TokenSequence

__all__ = ["Lanes"]

logger = logging.getLogger(__name__)

_MOST_LANES = 4
_SMALLEST = 384
"""Tokens below which a batch is not made smaller for the sake of an even end."""
_LUMP = 1.2
"""How much longer than an even share a sequence must be, for all cores to share its pass."""
_LONGEST_BATCH = 60.0
"""Seconds that the end of the program, or a fork, waits for a batch in progress."""
_POLL = 0.1
"""Seconds after which a waiting caller looks whether it has been cancelled."""

_all: weakref.WeakSet[Lanes] = weakref.WeakSet()
# A thread outlives its lanes by the time that it takes to free the model.
_alive: set[threading.Thread] = set()


@dataclass(frozen=True, slots=True)
class _Lane:
    """A thread that computes.

    Attributes:
        name: For debuggers.
        cores: How many it uses; None leaves that to the device.
        undivided: Whether it is there for what cannot be divided among the others.
    """

    name: str
    cores: int | None = None
    undivided: bool = False


class Lanes:
    """Runs batches on threads of its own, for any number of callers.

    Args:
        runner: Runs a batch.
        with_logits: Whether it gives one logit per sequence, or hidden states.
        device: Where it runs. Off the CPU there is one lane: an accelerator is one queue already.
        batch_tokens: Tokens of a batch at most.

    Attributes:
        batch_tokens: The budget; halved when an accelerator runs out of memory.
        count: Lanes, those for undivided work not counted.
    """

    def __init__(
        self, runner: Runner, *, with_logits: bool, device: torch.device, batch_tokens: int
    ) -> None:
        self.batch_tokens = batch_tokens
        self._runner = runner
        self._forward = runner.logits if with_logits else runner.hidden
        self._with_logits = with_logits
        self._device = device
        self._cores = torch.get_num_threads() if device.type == "cpu" else 1
        self.count = min(self._cores, _MOST_LANES)
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        # The garbage collector may call stop() in a thread that holds the lock already.
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._queue = Queue()
        self._shares: deque[list[Part]] = deque()
        self._running = 0
        self._stopped = False
        self._threads: list[threading.Thread] = []

    def submit(
        self, sequences: Sequence[TokenSequence], after: After, first: int | None = None
    ) -> Request:
        """Begin to compute; :meth:`results` fetches.

        Raises:
            RuntimeError: The threads have stopped, because the program ends, or could not start.
        """
        request = Request(sequences, after, self._lock, first)
        with self._lock:
            # A daemon thread may wait in peace: the interpreter takes it down.
            if self._stopped and not threading.current_thread().daemon:
                raise RuntimeError(
                    "this model's threads have stopped, as the program ends or cannot have more"
                )
            if not self._threads:
                self._start()
            self._queue.add(request)
            self._work.notify_all()
        return request

    def results(self, request: Request) -> Iterator[tuple[list[int], Any]]:
        """Results of a request as they come; whoever stops asking must :meth:`withdraw` it."""
        while request.undelivered:
            check_cancelled()
            with self._lock:
                while not request.ready and request.error is None:
                    request.news.wait(_POLL)
                    check_cancelled()
                if request.error is not None:
                    raise request.error
                indices, result = request.ready.popleft()
                request.undelivered -= len(indices)
                was_full = request.held > self._most_held()
                request.held -= request.tokens(indices)
                if was_full and request.waiting:
                    self._work.notify_all()
            yield indices, result
        self.withdraw(request)

    def withdraw(self, request: Request) -> None:
        """Nobody waits for what is left of it."""
        with self._lock:
            self._queue.remove(request)
            # Its traceback leads back to the request, and holds the tensors of the failed batch.
            request.error = None

    def rest(self) -> None:
        """Wait until no batch is in progress; see :func:`_before_fork`."""
        with self._lock:
            self._work.wait_for(lambda: not self._running, _LONGEST_BATCH)

    def resume(self) -> None:
        """Go on after :meth:`rest`."""
        with self._lock:
            self._work.notify_all()

    def stop(self) -> None:
        """End the threads, each after its batch."""
        with self._lock:
            self._stopped = True
            self._work.notify_all()

    def _start(self) -> None:
        _alive.difference_update([thread for thread in list(_alive) if not thread.is_alive()])
        if self._device.type != "cpu":
            lanes = [_Lane("lane")]
        else:
            lanes = [_Lane(f"lane-{n}", self._cores // self.count) for n in range(self.count)]
            if self.count > 1 and not _forked:
                lanes.append(_Lane("all-cores", self._cores, undivided=True))
        for lane in lanes:
            started = threading.Event()
            thread = threading.Thread(
                target=self._live,
                args=(lane, started),
                name=f"rag-rerankers-{lane.name}",
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError:
                self.stop()  # with some of its lanes missing, work could wait for ever
                raise
            started.wait()
            self._threads.append(thread)
            _alive.add(thread)

    def _live(self, lane: _Lane, started: threading.Event) -> None:
        if lane.cores is not None:
            # When torch first sees a thread, it gives it the number that was set last, by whatever
            # thread: it is made to look now, or the first step would undo what is set here. For
            # the same reason the lane with all cores is started last.
            torch.get_num_threads()
            torch.set_num_threads(lane.cores)
        started.set()
        while True:
            with self._lock:
                while not (parts := self._next(lane)):
                    if self._stopped:
                        return
                    self._work.wait()
                self._running += 1
            try:
                self._compute(parts)
            finally:
                del parts
                with self._lock:
                    self._running -= 1
                    self._work.notify_all()

    def _next(self, lane: _Lane) -> list[Part]:
        """What this thread is to compute now; nothing if it is not its turn."""
        if self._stopped or _forks:
            return []
        if self._shares and not lane.undivided:
            return self._shares.popleft()
        budget = self.batch_tokens
        most_held = self._most_held()
        if self.count > 1:
            tokens, longest = self._queue.pending(most_held)
            lump = longest > _LUMP * tokens / self.count and not _forked
            mine = not lane.undivided if self._running else lane.undivided == lump
            if not mine:
                return []
            if not lane.undivided:
                share = tokens // self.count
                one_batch = 0 < share <= budget and not self._runner.padded
                if one_batch and not self._running:
                    # It fits, and every lane is free: a batch each, all of one size. Several
                    # smaller ones would cost more: products are faster in large ones.
                    self._shares.extend(self._queue.split(self.count, most_held))
                    self._work.notify_all()
                    return self._shares.popleft()
                # Batches become smaller towards the end, so that the lanes end together.
                budget = min(budget, max(share // 2, min(share, _SMALLEST)))
        return self._queue.take(
            budget, most_held, padded=self._runner.padded, equal=self._runner.equal_lengths
        )

    def _most_held(self) -> int:
        return 2 * self.batch_tokens * (self.count + 1)

    def _compute(self, parts: list[Part]) -> None:
        try:
            results = self._results(parts)
        except torch.OutOfMemoryError as error:
            # Only accelerators raise this type.
            self._make_smaller(parts, error)
        except BaseException as error:
            if len(parts) > 1:  # who shares a batch does not share its mistakes
                for part in parts:
                    self._compute([part])
                return
            with self._lock:
                parts[0].request.fail(error)
        else:
            with self._lock:
                for (request, _), (indices, result) in zip(parts, results, strict=True):
                    request.deliver(indices, result)
            return
        # Outside the except block: the traceback no longer keeps the failed batch's tensors alive.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _results(self, parts: list[Part]) -> list[tuple[list[int], Any]]:
        rows = [(request, index) for request, indices in parts for index in indices]
        if len(parts) > 1:
            # Equal lengths beside each other share one call of the attention.
            rows.sort(key=lambda row: row[0].lengths[row[1]], reverse=True)
        with torch.inference_mode():
            output = self._forward([request.sequences[index] for request, index in rows])
            if len(parts) == 1:
                ((request, indices),) = parts
                return [(indices, request.after(indices, output))]
            sizes = [1 if self._with_logits else r.lengths[index] for r, index in rows]
            pieces = output.split(sizes)
            results = []
            for request, _ in parts:
                own = [at for at, row in enumerate(rows) if row[0] is request]
                indices = [rows[at][1] for at in own]
                states = torch.cat([pieces[at] for at in own])
                results.append((indices, request.after(indices, states)))
            return results

    def _make_smaller(self, parts: list[Part], error: BaseException) -> None:
        with self._lock:
            lengths = [part.request.lengths[index] for part in parts for index in part.indices]
            tokens = sum(lengths)
            if len(lengths) == 1:
                failure = OutOfMemoryError(
                    f"{self._device} cannot hold one sequence of {tokens} tokens: use a smaller "
                    "max_length, a half-precision dtype, or device='cpu'"
                )
                failure.__cause__ = error
                parts[0].request.fail(failure)
                return
            self.batch_tokens = max(min(self.batch_tokens, tokens) // 2, max(lengths))
            for request, indices in parts:
                request.put_back(indices)
        logger.warning(
            "%s is out of memory with %d tokens in a batch: going on with %d",
            self._device,
            tokens,
            self.batch_tokens,
        )


_forked = False
# One entry for every fork that is about to happen. Appending and popping need no lock.
_forks: list[None] = []


def _before_fork() -> None:
    """Let batches end and none begin: a child would inherit the locks of whoever computes.

    oneDNN's cache of programs has one, and a child that finds it locked waits for ever.
    """
    _forks.append(None)
    if threading.current_thread() not in _alive:
        for lanes in list(_all):
            lanes.rest()


def _after_fork_in_parent() -> None:
    _forks.pop()
    for lanes in list(_all):
        lanes.resume()


def _after_fork() -> None:
    """Make a forked child work: its parent's other threads do not exist in it."""
    global _forked
    _forks.clear()
    if not _all:
        return
    _forked = True
    _alive.clear()
    for lanes in _all:
        lanes._reset()
    # So is OpenMP's team of threads, for which the first parallel step would wait for ever.
    torch.set_num_threads(1)


def _leave() -> None:
    # A thread that is inside torch while the interpreter takes it down would crash.
    for lanes in list(_all):
        lanes.stop()
    for thread in list(_alive):
        thread.join(_LONGEST_BATCH)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork,
    )
atexit.register(_leave)
