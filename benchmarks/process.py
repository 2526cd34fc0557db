"""The parent's side of a worker: start it, ask it, end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.places import ROOT

__all__ = ["Worker", "WorkerError", "ask_fresh", "plain"]

# No hub can change a measurement, and none is waited for.
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
_LIMIT = 3600.0


class WorkerError(Exception):
    """What a worker could not do; the message goes into the results."""


class Worker:
    """A subprocess that answers JSON lines (``benchmarks/worker.py``).

    Args:
        python: The interpreter of the contestant's environment.
        environment: Variables for this process, such as ``OMP_NUM_THREADS``.
        limit: Seconds after which an unanswered request ends the process.
    """

    def __init__(
        self, python: Path, environment: Mapping[str, str] | None = None, limit: float = _LIMIT
    ) -> None:
        self._limit = limit
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.worker"],
            cwd=ROOT,
            env=_environment(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            WorkerError: It failed, died or took too long.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(self._limit, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            raise WorkerError(self._death())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(plain(answer["error"]))
        return answer

    def close(self) -> None:
        """End the process."""
        try:
            self._process.communicate('{"do": "exit"}\n', timeout=10)
        except (subprocess.TimeoutExpired, ValueError, OSError):
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _death(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        last = [line for line in self._errors.read().splitlines() if line.strip()][-1:]
        return plain(f"the process ended with {code}: {''.join(last)}")


def ask_fresh(
    function: str, request: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The answer of a function of this package, run in a new process of this interpreter.

    Args:
        function: ``module:name``.
        request: Its argument.
        environment: More variables.

    Raises:
        WorkerError: It failed, died or took too long.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fresh", function],
            cwd=ROOT,
            env=_environment(environment),
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_LIMIT * 2,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"not done after {error.timeout:.0f} seconds") from error
    if not done.stdout:
        raise WorkerError(plain(f"ended with {done.returncode}: {done.stderr[-300:]}"))
    answer: dict[str, Any] = json.loads(done.stdout)
    if "error" in answer:
        raise WorkerError(plain(answer["error"]))
    return answer


def plain(message: str) -> str:
    """One short line without the paths of this machine."""
    for path in (str(ROOT), str(ROOT.parent), str(Path.home()), sys.prefix, sys.base_prefix):
        if len(path) > 1:
            message = message.replace(path, "...")
    return " ".join(message.split())[:240]


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **_ENVIRONMENT, **(more or {})}
