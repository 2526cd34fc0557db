"""What quality costs: latency, throughput, tokens, memory."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rag_rerankers.options import ModelOptions
from rag_rerankers.types import Scorer

__all__ = ["Cost", "Latency", "Probe", "latency", "probe_alone", "probe_here"]

logger = logging.getLogger(__name__)

_SECONDS = 3.0
_CALLS = 40
_FEWEST = 3
Sample = Sequence[tuple[str, Sequence[str]]]
"""Questions with their candidates' texts."""


@dataclass(frozen=True)
class Latency:
    """How long one call takes.

    Attributes:
        calls: How many were timed.
        texts: Texts in each: the median.
        p50: Median, in milliseconds.
        p95: 95th percentile, in milliseconds.
    """

    calls: int
    texts: float
    p50: float
    p95: float


@dataclass(frozen=True)
class Probe:
    """What a process that does nothing but load a model and score tells of itself.

    Attributes:
        one: Calls with one text, in one forward pass: the article's "batch size 1".
        eight: Calls with eight texts: its "batch size 8".
        load_seconds: From nothing to a model that is ready.
        rss_before: Resident memory before the model is loaded, in bytes: Python and torch.
        rss_peak: The most that was resident, in bytes.
        device_peak: The most memory reserved on the accelerator, in bytes; None on a CPU.
    """

    one: Latency | None = None
    eight: Latency | None = None
    load_seconds: float | None = None
    rss_before: int | None = None
    rss_peak: int | None = None
    device_peak: int | None = None


@dataclass(frozen=True)
class Cost:
    """What reranking the candidates of every query cost.

    Attributes:
        query: A whole query, all its candidates in one call.
        texts_per_second: Over all queries.
        tokens_per_text: Tokens that the model read, special tokens and the query's share
            included; None where a scorer does not say.
        cut: Texts that were longer than the model reads.
        device: Where the model ran, if it says so.
        dtype: In which precision, if it says so.
        probe: The same model in small batches, and its memory.
    """

    query: Latency
    texts_per_second: float
    tokens_per_text: float | None
    cut: int
    device: str | None
    dtype: str | None
    probe: Probe

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens that went through the model in a second."""
        return (
            None if self.tokens_per_text is None else self.tokens_per_text * self.texts_per_second
        )


def latency(seconds: Sequence[float], texts: Sequence[int]) -> Latency:
    """Summarise calls.

    Args:
        seconds: Duration of each call, at least one.
        texts: Texts in each.

    Example:
        >>> latency([0.010, 0.030, 0.020], [50, 50, 50])
        Latency(calls=3, texts=50.0, p50=20.0, p95=29.0)
    """
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return Latency(
        len(seconds), float(np.median(texts)), round(float(p50), 3), round(float(p95), 3)
    )


def probe_here(scorer: Scorer, sample: Sample) -> Probe:
    """Time a scorer in small batches, in this process."""
    return Probe(one=_timed(scorer, _batches(sample, 1)), eight=_timed(scorer, _batches(sample, 8)))


def probe_alone(model: str, options: ModelOptions, sample: Sample) -> Probe | None:
    """Load a model in a process of its own, time it in small batches, and read its memory.

    Nothing else lives in that process: no corpus, no other model.

    Returns:
        None if the process fails, which is logged; the evaluation itself does not depend on it.
    """
    request = json.dumps({"model": model, "options": options.as_kwargs(), "sample": list(sample)})
    done = subprocess.run(
        [sys.executable, "-m", "rag_rerankers.evaluation.probe"],
        input=request,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        logger.warning("%s in small batches was not measured: %s", model, reason)
        return None
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for batch in ("one", "eight"):
        told[batch] = Latency(**told[batch]) if told[batch] else None
    return Probe(**told)


def told(probe: Probe) -> str:
    """The probe as one line of JSON."""
    return json.dumps(asdict(probe))


def _batches(sample: Sample, size: int) -> Iterator[tuple[str, Sequence[str]]]:
    """Full batches of texts, of each query in turn."""
    for start in range(0, max((len(texts) for _, texts in sample), default=0), size):
        for query, texts in sample:
            if len(texts) >= start + size:
                yield query, texts[start : start + size]


def _timed(scorer: Scorer, calls: Iterable[tuple[str, Sequence[str]]]) -> Latency | None:
    seconds: list[float] = []
    texts: list[int] = []
    first = True
    for query, candidates in calls:
        if first:  # kernels are chosen and compiled at the first call of a shape
            scorer.score(query, candidates)
            first = False
        started = time.perf_counter()
        scorer.score(query, candidates)
        seconds.append(time.perf_counter() - started)
        texts.append(len(candidates))
        done = sum(seconds) > _SECONDS and len(seconds) >= _FEWEST
        if done or len(seconds) >= _CALLS:
            break
    return latency(seconds, texts) if seconds else None
