"""The process that runs one contestant: a request a line on stdin, an answer a line on stdout.

    {"do": "load", "peer": "ours", "model": "bge", "folder": "...", "config": {...}}
    {"do": "score", "count": 50, "offset": 0, "scores": false}
    {"do": "exit"}

While another contestant runs, this one is blocked on stdin. Nothing heavy is imported before the
first ``load``, and only what that peer needs.
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any, TextIO

from benchmarks.candidates import Candidates, candidates
from benchmarks.contestants import find
from benchmarks.peers.base import Config, Score

__all__ = ["main", "peak_rss", "reserved_stdout"]


def main() -> None:
    """Answer until told to exit or stdin ends."""
    answers = reserved_stdout()
    _die_first()
    warnings.simplefilter("ignore")
    seat = Seat()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "exit":
            break
        try:
            answer = seat.load(request) if request["do"] == "load" else seat.score(request)
        except Exception as error:  # a peer's failure is a result
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Seat:
    """Where one contestant sits."""

    def __init__(self) -> None:
        self._score: Score | None = None
        self._data: Path | None = None
        self._sets: dict[tuple[int, int], Candidates] = {}

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the model and say how long it took."""
        self._data = Path(request["data"]) if request.get("data") else None
        config = Config(**request["config"])
        started = time.perf_counter()
        peer = find(request["peer"])
        self._score = peer.load(Path(request["folder"]), request["model"], config)
        return {"seconds": time.perf_counter() - started, "rss_peak": peak_rss()}

    def score(self, request: dict[str, Any]) -> dict[str, Any]:
        """Score candidates, check what comes back, and say how long it took.

        Raises:
            ValueError: Not one finite score a text.
        """
        if self._score is None:
            raise ValueError("nothing has been loaded")
        key = (request["count"], request.get("offset", 0))
        if key not in self._sets:
            self._sets[key] = candidates(key[0], offset=key[1], data=self._data)
        query, texts = self._sets[key]
        gc.collect()  # what an earlier round left is not this one's to clean up
        started = time.perf_counter()
        scores = self._score(query, texts)
        seconds = time.perf_counter() - started
        if len(scores) != len(texts):
            raise ValueError(f"{len(scores)} scores for {len(texts)} texts")
        if not all(math.isfinite(score) for score in scores):
            raise ValueError("scores that are not finite")
        answer: dict[str, Any] = {"seconds": seconds, "rss_peak": peak_rss()}
        if request.get("scores"):
            answer["scores"] = [float(score) for score in scores]
        return answer


def _die_first() -> None:
    """Let the kernel take this process when memory runs out, not one of those beside it.

    Some peers make one batch of all candidates: at a thousand that is more than most machines have.
    """
    adjust = Path("/proc/self/oom_score_adj")
    if adjust.exists():
        adjust.write_text("1000", "ascii")


def reserved_stdout() -> TextIO:
    """The real stdout; from now on whatever libraries print goes to stderr."""
    reserved = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return reserved


def peak_rss() -> int:
    """The most memory that was resident in this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells on Linux includes the parent before the exec
        for line in status.read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


if __name__ == "__main__":
    main()
