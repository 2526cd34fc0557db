"""A server in a process of its own: started, watched, told to stop."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

__all__ = ["ServerProcess"]

_STARTING = 180.0
_ENDING = 300.0


class ServerProcess:
    """``rag-rerankers serve`` on a free port, ready when the block begins."""

    def __init__(self, model: str, *options: str) -> None:
        self._command = [
            *(sys.executable, "-c", "from rag_rerankers.cli import app; app()", "serve"),
            *("--model", model, "--port", "0", *options),
        ]
        self._lines: list[str] = []
        self._memory: list[int] = []
        self._watching = threading.Event()
        self.url = ""

    def __enter__(self) -> ServerProcess:
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        news: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(news,), daemon=True)
        self._reader.start()
        end = time.monotonic() + _STARTING
        loaded = False
        while not (self.url and loaded):
            line = news.get(timeout=max(0.1, end - time.monotonic()))
            found = re.search(r"http://\S+", line)
            if found and not self.url:
                self.url = found.group()
            loaded = loaded or '"model loaded"' in line
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watching.set()
        if self._process.poll() is None:
            self.terminate()
            self.wait()

    def _read(self, news: queue.Queue[str]) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line)
            news.put(line)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """The exit status, once all of the log has been read."""
        status = self._process.wait(_ENDING)
        self._reader.join(10)
        return status

    def watch_memory(self) -> None:
        """Look twice a second at the resident memory, from now on; on Linux only."""
        pages = Path(f"/proc/{self._process.pid}/statm")
        if not pages.exists():
            return

        def watch() -> None:
            while not self._watching.wait(0.5):
                resident = int(pages.read_text().split()[1])
                self._memory.append(resident * os.sysconf("SC_PAGE_SIZE"))

        threading.Thread(target=watch, daemon=True).start()

    def memory(self) -> list[int]:
        """What was seen, in bytes."""
        self._watching.set()
        return self._memory

    def logged_answers(self) -> int:
        """Rerankings that the server says it answered."""
        records = [json.loads(line) for line in self._lines if line.startswith("{")]
        return sum(
            one["event"] == "request" and one.get("status") == 200 and one["route"] == "/v1/rerank"
            for one in records
        )
