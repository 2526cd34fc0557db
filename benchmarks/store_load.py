"""A token store under load: many documents, and processes that are killed.

    python -m benchmarks.store_load large [--documents 200000]
    python -m benchmarks.store_load kill [--rounds 50]

Vectors are random bytes: what is measured does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.places import ROOT
from rag_rerankers import TokenStore
from rag_rerankers.store.entries import StoredText
from rag_rerankers.store.shelf import Shelf

DIM, VECTORS = 128, 180
SHELF = Shelf(b"f" * 32, "synthetic", "int8", DIM + 2)
PROCESSES, CALLS, KEYS = 4, 2000, 3000


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    large = commands.add_parser("large")
    large.add_argument("--documents", type=int, default=200_000)
    kill = commands.add_parser("kill")
    kill.add_argument("--rounds", type=int, default=50)
    for name in ("open", "work"):
        one = commands.add_parser(name)
        one.add_argument("folder")
        one.add_argument("seed", type=int)
    asked = parser.parse_args()
    if asked.command == "open":
        _open(asked.folder, asked.seed)
    elif asked.command == "work":
        _work(asked.folder, asked.seed)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = (
                _large(folder, asked.documents)
                if asked.command == "large"
                else _kill(folder, asked.rounds)
            )
        print(json.dumps(found, indent=1))


def text_of(number: int, vectors: int = VECTORS) -> StoredText:
    """What is stored for a number, whoever writes it."""
    records = random.Random(number).randbytes(vectors * SHELF.record)
    return StoredText((vectors,), False, records)


def _large(folder: str, documents: int) -> dict[str, object]:
    store = TokenStore(folder, memory_bytes=0)
    started = time.perf_counter()
    for first in range(0, documents, 200):
        numbers = range(first, min(first + 200, documents))
        keys = SHELF.keys(map(str, numbers))
        store.put(SHELF, {key: text_of(n) for key, n in zip(keys, numbers, strict=True)})
    writing = time.perf_counter() - started
    size = store.info().size
    store.close()
    opened, lookups = [], []
    for seed in range(5):
        told = json.loads(_fresh("open", folder, str(seed)))
        opened.append(told["open"])
        lookups += told["lookups"]
    lookups.sort()
    return {
        "documents": documents,
        "bytes": size,
        "seconds to write": round(writing, 1),
        "open ms": [round(1e3 * one, 2) for one in opened],
        "lookup of 50, p50 ms": round(1e3 * statistics.median(lookups), 3),
        "lookup of 50, p99 ms": round(1e3 * lookups[int(len(lookups) * 0.99)], 3),
    }


def _open(folder: str, seed: int) -> None:
    started = time.perf_counter()
    store = TokenStore(folder, memory_bytes=0)
    store.open()
    opened = time.perf_counter() - started
    documents = store.info().entries
    chance = random.Random(seed)
    lookups = []
    for _ in range(200):
        keys = SHELF.keys(str(chance.randrange(documents)) for _ in range(50))
        started = time.perf_counter()
        found = store.get(SHELF, keys)
        lookups.append(time.perf_counter() - started)
        assert None not in found
    print(json.dumps({"open": opened, "lookups": lookups}))


def _fresh(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.store_load", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def _kill(folder: str, rounds: int) -> dict[str, object]:
    chance = random.Random(0)
    written: set[int] = set()
    wrong = unreadable = lost = calls = 0
    for turn in range(rounds):
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.store_load", "work", folder, str(turn * 10 + n)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(PROCESSES)
        ]
        first = [worker.stdout.readline() for worker in workers if worker.stdout]
        deadline = time.monotonic() + chance.uniform(0, 3)
        for worker in workers:
            time.sleep(max(0.0, deadline - time.monotonic()) / PROCESSES)
            worker.send_signal(signal.SIGKILL)
        for worker, line in zip(workers, first, strict=True):
            told = (line + worker.communicate()[0]).split("\n")[:-1]
            calls += len(told)
            wrong += sum(row.startswith("wrong") for row in told)
            unreadable += sum(row.startswith("error") for row in told)
            written |= {int(row) for row in told if row.isdigit()}
        try:
            store = TokenStore(folder, memory_bytes=0)
            numbers = sorted(written)
            found = store.get(SHELF, SHELF.keys(map(str, numbers)))
            lost += found.count(None)
            right = [text_of(n, 20) for n in numbers]
            wrong += sum(f not in (None, r) for f, r in zip(found, right, strict=True))
            wrong += store.verify().damaged
            store.close()
        except Exception as error:
            print(error, file=sys.stderr)
            unreadable += 1
    return {
        "rounds": rounds,
        "processes": PROCESSES,
        "puts and gets": calls,
        "written": len(written),
        "wrong": wrong,
        "unreadable": unreadable,
        "lost": lost,
    }


def _work(folder: str, seed: int) -> None:
    """Puts and gets; a line for each put that has returned."""
    store = TokenStore(folder, memory_bytes=0)
    chance = random.Random(seed)
    for _ in range(CALLS):
        asked, number = chance.randrange(KEYS), chance.randrange(KEYS)
        try:
            (found,) = store.get(SHELF, SHELF.keys([str(asked)]))
            if found is not None and found != text_of(asked, 20):
                print(f"wrong {asked}", flush=True)
            (key,) = SHELF.keys([str(number)])
            store.put(SHELF, {key: text_of(number, 20)})
        except Exception as error:
            print(f"error {error}", flush=True)
        print(number, flush=True)


if __name__ == "__main__":
    main()
