"""Processes that write and read, and are killed at any moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest
from tests.store.test_token_store import SHELF, fill, text_of

from rag_rerankers import TokenStore

WORK = """
import random, sys
from rag_rerankers import TokenStore
from tests.store.test_token_store import SHELF, fill, text_of
store = TokenStore(sys.argv[1], memory_bytes=0)
chance = random.Random(int(sys.argv[2]))
while True:
    numbers = [chance.randrange(500) for _ in range(3)]
    keys = SHELF.keys(f"text {n}" for n in numbers)
    for found, number in zip(store.get(SHELF, keys), numbers):
        if found is not None and found != text_of(number, 40):
            print("wrong", number, flush=True)
    fill(store, sorted(set(numbers)), vectors=40)
    print(*numbers, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_what_was_written_survives_and_nothing_is_wrong(tmp_path):
    written: set[int] = set()
    for turn in range(4):
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORK, str(tmp_path / "store"), str(10 * turn + n)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(3)
        ]
        first = [worker.stdout.readline() for worker in workers]  # all are at work
        time.sleep(random.Random(turn).uniform(0.05, 0.3))
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        for worker, line in zip(workers, first, strict=True):
            told = line + worker.communicate()[0]
            assert "wrong" not in told
            # The last line may have been cut.
            written |= {int(word) for row in told.split("\n")[:-1] for word in row.split()}
        store = TokenStore(tmp_path / "store", memory_bytes=0)
        numbers = sorted(written)
        found = store.get(SHELF, SHELF.keys(f"text {n}" for n in numbers))
        assert found == [text_of(n, 40) for n in numbers], "what put() returned from is there"
        assert store.verify().damaged == 0
    assert len(written) > 50
    fill(store, [1000])
