"""Servers in processes of their own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
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
        said = []
        for line in self._process.stderr:
            said.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                self.url = found[0]
                return
        raise AssertionError("".join(said))

    def signal(self, sig: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(sig)

    def end(self) -> tuple[int, str]:
        """Its exit status and what it wrote on stderr, once it ends of its own."""
        _, log = self._process.communicate(timeout=60)
        return self._process.returncode, log

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stderr.close()


@contextmanager
def started(*arguments: str) -> Iterator[Process]:
    """A process, for the time of the block at most."""
    process = Process(*arguments)
    try:
        yield process
    finally:
        process.kill()
