"""A run from end to end: what is to be done, what is there, what is missing, what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import rag_rerankers
from rag_rerankers.distributed.attempts import Attempts
from rag_rerankers.distributed.chunks import Input, cut, read_input
from rag_rerankers.distributed.cluster import Workers, compute
from rag_rerankers.distributed.libraries import needed
from rag_rerankers.distributed.manifest import Manifest
from rag_rerankers.distributed.parts import Parts
from rag_rerankers.distributed.places import Place, place
from rag_rerankers.distributed.report import Report, Tally
from rag_rerankers.distributed.worker import Assignment, Task
from rag_rerankers.errors import DataError, RerankError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Source", "check_new_columns", "check_text_column", "open_input", "positive", "run"]


@dataclass(frozen=True)
class Source:
    """The input: where it is, and what is in it."""

    places: Sequence[Place]
    found: Input

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self.found.schema


def open_input(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], filesystem: Any
) -> Source:
    """Look at the input.

    Raises:
        DataError: It cannot be read.
        MissingExtraError: pyarrow or Ray is not installed.
    """
    for module in ("pyarrow", "ray"):
        needed(module)
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not given:
        raise DataError("no input is given")
    places = [place(path, filesystem) for path in given]
    if any(other.files != places[0].files for other in places):
        raise DataError("the input lies on several file systems: give what is on one of them")
    return Source(places, read_input(places))


def run(
    source: Source,
    output: Place,
    task: Task,
    settings: Mapping[str, Any],
    *,
    part_rows: int,
    retry_failed: bool,
    workers: Workers,
    tell: Callable[[int], object] | None,
) -> Report:
    """Make every part that is missing.

    Args:
        source: The input.
        output: The folder of the parts.
        task: What is done with the rows.
        settings: What the numbers depend on.
        part_rows: Rows of a part.
        retry_failed: Whether parts in which a text failed are made again.
        workers: Who does it.
        tell: Called again and again with how many more rows are done.

    Raises:
        DataError: The folder holds something else.
        RerankError: Workers died again and again, or parts are missing in the end.
    """
    started = time.monotonic()
    for inside in source.places:
        if f"{output.path.rstrip('/')}/".startswith(f"{inside.path.rstrip('/')}/"):
            raise DataError(f"the output {output.path} lies within the input {inside.path}")
    settings = {
        **settings,
        "part_rows": positive("part_rows", part_rows),
        # What dtype="auto" is depends on it.
        "gpu": workers.gpus > 0,
        "rag_rerankers": rag_rerankers.__version__,
    }
    manifest = Manifest(settings, source.found.files)
    manifest.claim(output)
    parts = Parts(output, manifest.digest)
    chunks = list(cut(source.found.files, part_rows))
    there = parts.present(chunks)
    if retry_failed:
        there = {number: tally for number, tally in there.items() if not tally.failed}
    missing = [chunk for chunk in chunks if chunk.number not in there]
    total = sum(there.values(), Tally())
    if tell is not None and total.rows:
        tell(total.rows)
    if missing:
        # Ray's pickle also takes what a script or a notebook defines.
        pickled: bytes = needed("ray.cloudpickle").dumps(task)
        assignment = Assignment(
            task=pickled,
            source=source.places[0],
            parts=parts,
            attempts=Attempts(output, uuid4().hex),
            cpus=workers.cpus,
            version=rag_rerankers.__version__,
            again=retry_failed,
        )
        waiting = {chunk.number for chunk in missing}
        for number, tally in compute(missing, assignment, workers):
            if number not in waiting:
                continue
            waiting.remove(number)
            total += tally
            if tell is not None:
                tell(tally.rows)
        if waiting:
            raise RerankError(
                f"{len(waiting)} of {len(chunks)} parts are missing in {output.path}, "
                f"part {min(waiting)} among them: run it again to go on"
            )
    parts.clear()
    return Report(
        output=output.path,
        rows=total.rows,
        texts=total.texts,
        failed=total.failed,
        parts=len(chunks),
        present=len(there),
        tokens=total.tokens,
        cut=total.cut,
        seconds=time.monotonic() - started,
    )


def positive(name: str, value: object) -> int:
    """A number of rows.

    Raises:
        TypeError, ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value


def check_text_column(schema: pa.Schema, name: str, *, lists: bool = False) -> pa.DataType:
    """The type of a column that is read.

    Args:
        schema: The input's.
        name: The column's.
        lists: Whether it may hold lists of texts.

    Raises:
        DataError: It is not there, or holds no texts.
    """
    import pyarrow as pa

    if schema.names.count(name) != 1:
        raise DataError(
            f"the input needs one column {name!r}; it has {', '.join(map(repr, schema.names))}"
        )
    kind = schema.field(name).type
    inner = kind.value_type if lists and _is_list(kind) else kind
    if pa.types.is_dictionary(inner):
        inner = inner.value_type
    if not (pa.types.is_string(inner) or pa.types.is_large_string(inner)):
        raise DataError(
            f"the column {name!r} is of type {kind}: it must hold strings"
            + (", or lists of them" if lists else "")
        )
    return kind


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def check_new_columns(schema: pa.Schema, *names: str) -> None:
    """See that columns can be added.

    Raises:
        DataError: The input has one of that name.
        ValueError: Two of them have one name.
    """
    for name in names:
        if name in schema.names:
            raise DataError(
                f"the input has a column {name!r} already: give the new one another name"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"two columns have one name: {', '.join(names)}")
