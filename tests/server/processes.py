"""Servers in processes of their own."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["COMMAND", "Process", "started"]

ROOT = Path(__file__).parents[2]
COMMAND = ("-c", "from rag_rerankers.cli import app; app()", "serve")


class Process:
    """A server that listens.

    Attributes:
        url: Where.
    """

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        self._said: list[str] = []
        self._urls: queue.Queue[str] = queue.Queue()
        # All the time: a process whose pipe is full stands still.
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        self.url = self._urls.get(timeout=60)
        assert self.url, "".join(self._said)

    def _read(self) -> None:
        for line in self._process.stderr:
            self._said.append(line)
            for url in re.findall(r"http://127\.0\.0\.1:\d+", line):
                self._urls.put(url)
        self._urls.put("")

    def signal(self, sig: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(sig)

    def end(self) -> tuple[int, str]:
        """Its exit status and what it wrote on stderr, once it ends of its own."""
        status = self._process.wait(timeout=60)
        self._reading.join()
        return status, "".join(self._said)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reading.join()
        self._process.stderr.close()


@contextmanager
def started(*arguments: str) -> Iterator[Process]:
    """A process, for the time of the block at most."""
    process = Process(*arguments)
    try:
        yield process
    finally:
        process.kill()
