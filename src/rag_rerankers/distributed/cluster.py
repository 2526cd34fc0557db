"""Chunks over Ray's actors, with Ray Data."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rag_rerankers.distributed.chunks import Chunk
from rag_rerankers.distributed.libraries import needed
from rag_rerankers.distributed.report import Tally
from rag_rerankers.distributed.worker import Assignment, Worker
from rag_rerankers.errors import RerankError

__all__ = ["Done", "Workers", "compute"]

logger = logging.getLogger(__name__)

# Blocks of Ray Data, each at least one chunk: more would only cost the driver's memory.
_BLOCKS = 20_000


@dataclass(frozen=True)
class Workers:
    """How many there are, and what each has.

    Attributes:
        count: A number, or the least and the most between which Ray chooses by the load.
        cpus: Cores of each; fractions are for scheduling only.
        gpus: GPUs of each; a fraction shares one.
        address: The cluster's; None is the one that this process is connected to, or that
            ``RAY_ADDRESS`` names, or else one that lives as long as the run.
    """

    count: int | tuple[int, int] = 2
    cpus: float = 1
    gpus: float = 0
    address: str | None = None

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not 1 <= low <= high:
            raise ValueError(f"workers must be at least 1, or (least, most), not {self.count!r}")
        for name in ("cpus", "gpus"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, not {value!r}")
            if not value >= 0:
                raise ValueError(f"{name} must be 0 or more, not {value}")

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most."""
        count = self.count if isinstance(self.count, tuple) else (self.count, self.count)
        if len(count) != 2 or any(isinstance(n, bool) or not isinstance(n, int) for n in count):
            raise TypeError(f"workers must be an int or two of them, not {self.count!r}")
        return count


class Done(NamedTuple):
    """A chunk whose part is there."""

    number: int
    tally: Tally


def compute(chunks: Sequence[Chunk], assignment: Assignment, workers: Workers) -> Iterator[Done]:
    """Have all chunks computed; those that are done come as they are, in no particular order.

    Raises:
        MissingExtraError: Ray is not installed.
        RerankError: Workers died again and again; what is done stays.
        Exception: What a worker found wrong with the whole run, such as a model that is not there.
    """
    data = needed("ray.data")
    exceptions = needed("ray.exceptions")
    low, high = workers.bounds
    with _connected(workers):
        dataset = data.from_items(
            [asdict(chunk) for chunk in chunks], override_num_blocks=min(len(chunks), _BLOCKS)
        )
        dataset.context.enable_progress_bars = False
        dataset = dataset.map_batches(
            Worker,
            fn_constructor_args=(assignment,),
            batch_size=1,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(
                min_size=low, max_size=high, max_tasks_in_flight_per_actor=2
            ),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
        )
        try:
            for row in dataset.iter_rows():
                yield _done(row)
        except exceptions.RayError as error:
            raise RerankError(
                f"Ray gave the run up: {error}. Parts that are done stay: run it again to go on"
            ) from error


def _done(row: dict[str, Any]) -> Done:
    failure: bytes = row.pop("failure")
    if failure:
        # Written by a worker of this run.
        error: Exception = pickle.loads(failure)
        raise error
    number = row.pop("number")
    row.pop("seconds")
    return Done(number, Tally(**row))


@contextmanager
def _connected(workers: Workers) -> Iterator[None]:
    """A connection to a cluster; one that is there stays as it is."""
    ray = needed("ray")
    mine = not ray.is_initialized()
    if mine:
        ray.init(address=workers.address, include_dashboard=False, logging_level=logging.WARNING)
        # What it says of every run: the plan, and that there are no progress bars.
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    elif workers.address is not None:
        raise ValueError(
            f"this process is connected to a Ray cluster: address={workers.address!r} would be "
            "ignored. Leave it out, or call ray.shutdown() first"
        )
    try:
        _warn_if_too_few(ray, workers)
        yield
    finally:
        if mine:
            ray.shutdown()


def _warn_if_too_few(ray: Any, workers: Workers) -> None:
    there = ray.cluster_resources()
    for name, each in (("CPU", workers.cpus), ("GPU", workers.gpus)):
        wanted = each * workers.bounds[0]
        if wanted > there.get(name, 0):
            logger.warning(
                "the cluster has %g %ss, and the workers want %g: some wait for more to come",
                there.get(name, 0),
                name,
                wanted,
            )
