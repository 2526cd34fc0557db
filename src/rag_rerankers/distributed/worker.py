"""What runs in each of Ray's actors: reads a chunk, has it computed, writes its part."""

from __future__ import annotations

import logging
import math
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import rag_rerankers
from rag_rerankers.distributed.attempts import Attempts
from rag_rerankers.distributed.chunks import Chunk, RowReader
from rag_rerankers.distributed.parts import Parts
from rag_rerankers.distributed.places import Place
from rag_rerankers.distributed.report import Tally
from rag_rerankers.errors import RerankError, TruncationWarning

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Assignment", "Task", "Worker"]

logger = logging.getLogger(__name__)


Work = Callable[["pa.Table"], "tuple[pa.Table, Tally]"]


class Task(Protocol):
    """What is done with each table."""

    def load(self) -> Work:
        """Load the model, once for each worker."""
        ...


@dataclass(frozen=True)
class Assignment:
    """All that a worker is told.

    Attributes:
        task: What to do with the rows, pickled: what cannot be read where a worker is, or loads a
            model that is not there, is found by the worker, and not by Ray.
        source: The input's file system.
        parts: Where results go.
        attempts: Counts them.
        cpus: Cores that are its own.
        version: Of the package that drives the run.
        again: Whether parts in which a text failed are to be made again.
    """

    task: bytes
    source: Place
    parts: Parts
    attempts: Attempts
    cpus: float
    version: str
    again: bool = False


class Worker:
    """Makes parts. What is wrong with the whole run it returns, so that the run ends with it.

    An exception would come back wrapped by Ray. Nor is anything loaded before the first chunk: Ray
    would start a worker again and again that is killed, for want of memory, while it loads.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._reader = RowReader(assignment.source)
        self._work: Work | None = None

    def _load(self) -> Work:
        assignment = self._assignment
        if assignment.version != rag_rerankers.__version__:
            raise RerankError(
                f"a worker has rag-rerankers {rag_rerankers.__version__}, and the program that "
                f"sends it work {assignment.version}: install the same version everywhere"
            )
        # The report counts them; a line for each batch of each worker would hide all else.
        warnings.simplefilter("ignore", TruncationWarning)
        _use_threads(math.ceil(assignment.cpus))
        task: Task = pickle.loads(assignment.task)
        return task.load()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Make the parts of the chunks that the rows of the table describe."""
        import pyarrow as pa

        return pa.Table.from_pylist([self._make(Chunk(**row)) for row in table.to_pylist()])

    def _make(self, chunk: Chunk) -> dict[str, Any]:
        started = time.monotonic()
        tally, failure = Tally(), b""
        try:
            tally = self._part(chunk)
        except Exception as error:
            logger.exception("%s", chunk)
            failure = _pickled(error)
        seconds = time.monotonic() - started
        told = {"number": chunk.number, "seconds": seconds, "failure": failure}
        return {**told, **asdict(tally)}

    def _part(self, chunk: Chunk) -> Tally:
        told = self._assignment
        # Ray repeats a task whose worker died, also when it died behind the last line of it.
        done = told.parts.tally(chunk)
        if done is not None and not (told.again and done.failed):
            return done
        told.attempts.begin(chunk)
        try:
            if self._work is None:
                self._work = self._load()
            table, tally = self._work(self._reader.read(chunk))
            told.parts.write(chunk, table, tally)
        finally:
            told.attempts.end(chunk)
        return tally


def _use_threads(cores: int) -> None:
    """Let torch use the cores that Ray gave, whether it has been imported or will be."""
    os.environ["OMP_NUM_THREADS"] = str(max(1, cores))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(max(1, cores))


def _pickled(error: Exception) -> bytes:
    """An error as it can be raised again by the program that drives the run."""
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        return pickle.dumps(RerankError(f"{type(error).__name__}: {error}"))
    return data
