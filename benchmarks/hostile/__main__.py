"""Attacks a server on this machine with hostile input, and sees whether it serves as before.

    python -m benchmarks.hostile http://127.0.0.1:8000 [--bodies 10000] [--seed 0] [--key KEY]

It fails on any status of 500 or more but 503 and 504, on a request that is neither answered nor
ended, on a wrong request that is accepted, on an answer that tells of the server's insides, and
where a known request is not ranked exactly as before, or the server counts failures that nobody
was told of. The same seed makes the same attacks.
"""

from __future__ import annotations

import argparse
import ipaddress
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from benchmarks.hostile.attacks import attacks, drips, known, metrics
from benchmarks.hostile.verdict import complaint, differs, failures, without_chance
from benchmarks.hostile.wire import Attack, send

_SHOWN = 20


class Run:
    """One run against a server.

    Args:
        address: Of the server.
        seed: Of the attacks.
        key: Of the server, if it wants one.
        patience: Seconds without an answer that count as a hang.
        drip: Seconds between the bytes of slow clients.

    Attributes:
        complaints: What was wrong, so far.
        outcomes: How often each kind ended how.
        slowest: Seconds of the slowest of each kind.
    """

    def __init__(
        self, address: tuple[str, int], *, seed: int, key: str | None, patience: float, drip: float
    ) -> None:
        self.complaints: list[str] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.slowest: dict[str, float] = {}
        self._address = address
        self._seed, self._key = seed, key
        self._patience, self._drip = patience, drip
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}

    def attack(self, count: int, connections: int, *, slow: bool = True) -> None:
        """Remember the known answers, attack, and compare them.

        Args:
            count: Of attacks.
            connections: That attack at once.
            slow: Whether clients that send a byte at a time are there too.
        """
        self._known = self._answers()
        failed = self._failures()
        flood = attacks(count, self._seed, self._key)
        threads = [threading.Thread(target=self._work, args=(flood,)) for _ in range(connections)]
        if slow:
            threads += [
                threading.Thread(target=self._work, args=(iter([one]),))
                for one in drips(self._seed, self._key)
            ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for path, answer in self._answers().items():
            wrong = differs(self._known[path], answer)
            if wrong:
                self.complaints.append(f"afterwards {path} answers otherwise: {wrong}")
        more = self._failures() - failed
        if more:
            self.complaints.append(f"the server counts {more} failures that no client was told of")

    def _failures(self) -> int:
        outcome = send(self._address, metrics(self._key), patience=self._patience, drip=0)
        return failures(outcome.answers[0].body) if outcome.answers else 0

    def _answers(self) -> dict[str, Any]:
        answers = {}
        for one in known(self._seed, self._key):
            outcome = send(self._address, one, patience=self._patience, drip=self._drip)
            if one.exact and outcome.answers and outcome.answers[0].status == 200:
                answers[one.exact] = without_chance(outcome.answers[0].body)
            else:
                raise SystemExit(f"{one.exact} is not served: {outcome}")
        return answers

    def _work(self, flood: Iterator[Attack]) -> None:
        while True:
            with self._lock:
                one = next(flood, None)
            if one is None:
                return
            self._one(one)

    def _one(self, one: Attack) -> None:
        try:
            outcome = send(self._address, one, patience=self._patience, drip=self._drip)
            wrong = complaint(one, outcome, self._known)
            end = "+".join(str(answer.status) for answer in outcome.answers) or outcome.end
            seconds = 0.0 if one.drip else outcome.seconds
        except OSError as error:  # no connection
            wrong, end, seconds = f"no connection: {error}", "refused", 0.0
        except Exception as error:
            wrong, end, seconds = f"an answer that cannot be read: {error!r}", "unreadable", 0.0
        with self._lock:
            self.outcomes[one.kind, end] += 1
            self.slowest[one.kind] = max(self.slowest.get(one.kind, 0.0), seconds)
            if wrong:
                sent = b"".join(one.parts)
                self.complaints.append(f"{one.kind}: {wrong}\n    sent: {sent[:400]!r}")


def main() -> None:
    """Attack, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--bodies", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--key")
    parser.add_argument("--patience", type=float, default=60.0)
    parser.add_argument("--drip", type=float, default=1.0)
    asked = parser.parse_args()
    run = Run(
        address_of(asked.url),
        seed=asked.seed,
        key=asked.key,
        patience=asked.patience,
        drip=asked.drip,
    )
    start = time.monotonic()
    run.attack(asked.bodies, asked.connections)
    for kind in sorted({kind for kind, _ in run.outcomes}):
        ends = {end: n for (name, end), n in sorted(run.outcomes.items()) if name == kind}
        told = ", ".join(f"{end}: {n}" for end, n in ends.items())
        print(f"{kind:20} {run.slowest[kind]:5.1f} s  {told}")
    total = sum(run.outcomes.values())
    seconds = time.monotonic() - start
    print(f"{total} attacks in {seconds:.0f} s, {len(run.complaints)} complaints")
    for text in run.complaints[:_SHOWN]:
        print("-", text)
    sys.exit(bool(run.complaints))


def address_of(url: str) -> tuple[str, int]:
    """The address of a server on this machine; of another, there is nothing to attack."""
    parts = urlsplit(url)
    host = socket.gethostbyname(parts.hostname or "")
    if not ipaddress.ip_address(host).is_loopback:
        raise SystemExit(f"{url} is not on this machine: only a server of your own is attacked")
    return host, parts.port or 80


if __name__ == "__main__":
    main()
