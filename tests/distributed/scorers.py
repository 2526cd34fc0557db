"""Scorers that Ray's workers import."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Length:
    """The longer, the better. Fails at what it is told to fail at."""

    fails_at: str | None = None

    def score(self, query, texts):
        if self.fails_at is not None and any(self.fails_at in text for text in texts):
            raise RuntimeError(f"cannot read {self.fails_at!r}")
        return [float(len(text)) for text in texts]


@dataclass(frozen=True)
class Killer:
    """Kills a process the first time that it meets a text, and keeps a log of what it scored."""

    folder: str
    at: str
    victim: int | None = None

    def score(self, query, texts):
        for text in texts:
            if text.endswith(self.at) and self._first():
                os.kill(self.victim or os.getpid(), signal.SIGKILL)
        with Path(self.folder, f"log-{os.getpid()}").open("a") as log:
            log.writelines(f"{text}\n" for text in texts)
        return [float(len(text)) for text in texts]

    def _first(self):
        try:
            Path(self.folder, "killed").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@dataclass(frozen=True)
class AlwaysKills:
    """Kills whoever scores with it."""

    def score(self, query, texts):
        os.kill(os.getpid(), signal.SIGKILL)
