"""Peers for the worker protocol: nothing but the length of a text."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Config, Model, Score


class Fake:
    """Behaves as its configuration says."""

    name = "fake"
    venv = "main"
    models: tuple[Model, ...] = ("minilm-cross",)

    def configs(self, model: Model) -> list[Config]:
        return [
            Config("defaults", "float32", {"nap": 0.06}),
            Config("fast", "float32", {"nap": 0.0}),
            Config("emulated", "float16"),
            Config("broken", "int8", {"break": "load"}),
        ]

    def load(self, folder: Path, model: Model, config: Config) -> Score:
        print("a library that prints to stdout")  # noqa: T201
        options = config.options
        if options.get("break") == "load":
            raise RuntimeError(f"no such file: {Path.cwd()}/secret")

        def score(query: str, texts: Sequence[str]) -> list[float]:
            print("again")  # noqa: T201
            time.sleep(options.get("nap", 0.0))
            if options.get("break") == "exit":
                os._exit(3)
            scores = [float(len(text)) for text in texts]
            if options.get("break") == "nan":
                scores[0] = float("nan")
            if options.get("break") == "environment":
                return [float(os.environ["OMP_NUM_THREADS"])] * len(texts)
            return scores[1:] if options.get("break") == "length" else scores

        return score


FAKE = Fake()
