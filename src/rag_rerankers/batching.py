"""Length-sorted batches under a token budget, from what all callers want computed.

Callers that are there at the same time share forward passes: a batch is filled from the oldest
request on, and goes on into the next ones while the token budget lasts. Who has had a good share
goes to the back of the queue, so that ten thousand texts do not hold up ten.

Nothing in here locks: whoever runs the batches does (:mod:`rag_rerankers.engine.lanes`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rag_rerankers.tokenization import TokenSequence

__all__ = ["After", "Part", "Queue", "Request", "longest_first"]

After = Callable[[list[int], Any], Any]
"""What is made of a batch: indices into the caller's sequences, and their output."""

_TURN = 4
"""Batches' worth of tokens after which a request lets the others go first."""


def longest_first(lengths: Sequence[int]) -> list[int]:
    """Indices by falling length; equal lengths keep their order.

    The longest batch comes first, so that a budget which is too large fails at once and not
    after minutes of work, and so that the last batches are small and lanes end together.

    Example:
        >>> longest_first([3, 9, 3, 5])
        [1, 3, 0, 2]
    """
    return sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)


class Request:
    """One caller's sequences.

    Args:
        sequences: What to run.
        after: Applied to each batch's output on the thread that computed it.
        lock: Guards everything; what waits for results waits on it.
        first: A sequence to be taken before all others, however short it is.

    Attributes:
        lengths: Tokens of each sequence.
        waiting: Indices not yet taken, longest first, but for the very first.
        ready: Results not yet fetched: indices, and what ``after`` made of them.
        undelivered: Sequences whose result has not been fetched.
        held: Tokens taken whose results have not been fetched.
        error: What went wrong, if something did.
    """

    def __init__(
        self,
        sequences: Sequence[TokenSequence],
        after: After,
        lock: threading.RLock,
        first: int | None = None,
    ) -> None:
        self.sequences = sequences
        self.after = after
        self.lengths = [len(sequence.ids) for sequence in sequences]
        self.waiting = deque(longest_first(self.lengths))
        if first is not None:
            self.waiting.remove(first)
            self.waiting.appendleft(first)
        self.tokens_waiting = sum(self.lengths)
        self.ready: deque[tuple[list[int], Any]] = deque()
        self.undelivered = len(sequences)
        self.held = 0
        self.turn = 0
        self.error: BaseException | None = None
        self.news = threading.Condition(lock)

    @property
    def longest(self) -> int:
        """Tokens of the longest that waits."""
        return max((self.lengths[index] for index in islice(self.waiting, 2)), default=0)

    def tokens(self, indices: Sequence[int]) -> int:
        """Tokens of these sequences."""
        return sum(self.lengths[index] for index in indices)

    def deliver(self, indices: list[int], result: Any) -> None:
        """Hand a result over."""
        self.ready.append((indices, result))
        self.news.notify_all()

    def fail(self, error: BaseException) -> None:
        """Hand an error over; what waits is not computed any more."""
        self.error = error
        self.waiting.clear()
        self.tokens_waiting = 0
        self.news.notify_all()

    def put_back(self, indices: list[int]) -> None:
        """What was taken, but could not be computed."""
        self.waiting.extendleft(reversed(indices))
        self.tokens_waiting += self.tokens(indices)
        self.held -= self.tokens(indices)


class Part(NamedTuple):
    """One request's share of a batch: indices into its sequences."""

    request: Request
    indices: list[int]


class Queue:
    """The requests that still have something to compute, in the order of their turn."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()

    def add(self, request: Request) -> None:
        """A new request, behind all others."""
        self._requests.append(request)

    def remove(self, request: Request) -> None:
        """Its caller has gone, or has everything."""
        if request in self._requests:
            self._requests.remove(request)

    def pending(self, most_held: int) -> tuple[int, int]:
        """Tokens that could be computed now, and the longest sequence among them."""
        open_ = list(self._open(most_held))
        longest = max((request.longest for request in open_), default=0)
        return sum(request.tokens_waiting for request in open_), longest

    def take(self, budget: int, most_held: int, *, padded: bool, equal: bool) -> list[Part]:
        """The next batch: as many sequences as the token budget holds, at least one.

        Args:
            budget: Tokens in the batch at most.
            most_held: Results that a caller may leave unfetched, in tokens: memory does not grow
                with the number of texts, even if the caller is slow.
            padded: Count every sequence as long as the longest in the batch, which is what a
                padded forward pass computes.
            equal: Only sequences of one length share a batch.

        Returns:
            Who gets what, oldest first; empty if there is nothing to do.
        """
        parts: list[Part] = []
        longest = used = number = 0
        for request in list(self._open(most_held)):
            taken: list[int] = []
            while request.waiting:
                length = request.lengths[request.waiting[0]]
                top = max(longest, length)
                size = top * (number + 1) if padded else used + length
                if number and (size > budget or (equal and length != longest)):
                    break
                longest, used, number = top, used + length, number + 1
                taken.append(request.waiting.popleft())
            if taken:
                tokens = request.tokens(taken)
                request.tokens_waiting -= tokens
                request.held += tokens
                request.turn += tokens
                parts.append(Part(request, taken))
            if used >= budget:
                break
        for request, _ in parts:
            if request.turn >= _TURN * budget:
                request.turn = 0
                self._requests.remove(request)
                self._requests.append(request)
        return parts

    def split(self, batches: int, most_held: int) -> list[list[Part]]:
        """All that waits, in so many batches of about the same number of tokens.

        The longest sequence that is left goes to the batch that has the least.

        Args:
            batches: How many.
            most_held: As for :meth:`take`.

        Returns:
            Batches that are not empty, the largest first.
        """
        open_ = list(self._open(most_held))
        rows = [(request, index) for request in open_ for index in request.waiting]
        rows.sort(key=lambda row: row[0].lengths[row[1]], reverse=True)
        shares: list[dict[Request, list[int]]] = [{} for _ in range(batches)]
        loads = [0] * batches
        for request, index in rows:
            least = loads.index(min(loads))
            loads[least] += request.lengths[index]
            shares[least].setdefault(request, []).append(index)
        for request in open_:
            request.held += request.tokens_waiting
            request.turn += request.tokens_waiting
            request.tokens_waiting = 0
            request.waiting.clear()
        order = sorted(range(batches), key=loads.__getitem__, reverse=True)
        return [[Part(*share) for share in shares[n].items()] for n in order if shares[n]]

    def _open(self, most_held: int) -> Iterator[Request]:
        return (r for r in self._requests if r.waiting and r.held <= most_held)
