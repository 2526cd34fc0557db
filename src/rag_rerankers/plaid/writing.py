"""The next generation of an index, written from scratch or from the one before.

Importing this module needs the extra ``plaid``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tqdm import tqdm

from rag_rerankers.plaid.catalogue import Passage, write_passages
from rag_rerankers.plaid.files import (
    CODEC,
    Chunk,
    chunk_files,
    write_chunk,
    write_lists,
    write_metadata,
)
from rag_rerankers.plaid.folder import checksum, link
from rag_rerankers.plaid.generation import (
    FORMAT,
    PROBE,
    RECORD,
    Generation,
    Record,
    Sum,
    texts_file,
)
from rag_rerankers.plaid.indexing import Indexing, compressed
from rag_rerankers.plaid.model import Encoded, TokenModel

__all__ = ["write_added", "write_anew", "write_compact", "write_deleted"]

# Smaller chunks are joined with what comes next: few files, whatever the size of additions.
_SMALL = 1000


def write_anew(
    target: Path,
    record: Record,
    probe: torch.Tensor,
    passages: Sequence[Passage],
    model: TokenModel,
    *,
    show_progress: bool = False,
) -> None:
    """Write the first generation, or one with centroids made anew.

    Args:
        target: The folder to write to.
        record: Of the model.
        probe: The model's vectors of fixed texts.
        passages: At least one.
        model: Makes their vectors.
        show_progress: Whether a bar on stderr shows the passages that are encoded.
    """
    bar = tqdm(total=len(passages), desc="Encoding", unit=" passages", disable=not show_progress)

    def encode(texts: Sequence[str]) -> Encoded:
        return _filled(model.documents(texts, bar.update), record)

    with bar:
        texts = [passage.text for passage in passages]
        run = Indexing(target, texts, encode, record.stored_dim, record.nbits)
        run.run()
    torch.save(probe, target / PROBE)
    first = 0
    for number, size in enumerate(run.sizes):
        write_passages(target / texts_file(number), passages[first : first + size])
        first += size
    sizes = tuple(run.sizes)
    _seal(target, replace(record, n_centroids=run.num_partitions, chunks=sizes, deleted=()), {})


def write_added(
    target: Path,
    old: Generation,
    passages: Sequence[Passage],
    encoded: Encoded,
    model: TokenModel,
) -> None:
    """Write a generation with more passages: near the centroids that there are, if these suffice.

    Args:
        target: The folder to write to.
        old: The generation before.
        passages: The new ones.
        encoded: Their vectors.
        model: Made them.

    Raises:
        ValueError: An id is there already.
    """
    old.catalogue.refuse_known(passage.id for passage in passages)
    if old.outgrown(len(encoded.vectors)):
        write_anew(target, old.record, old.probe, [*old.catalogue.living(), *passages], model)
    else:
        _write_beside(target, old, passages, encoded)


def _write_beside(
    target: Path, old: Generation, passages: Sequence[Passage], encoded: Encoded
) -> None:
    sizes = list(old.record.chunks)
    n_last = len(passages)
    while sizes and sizes[-1] <= max(_SMALL, n_last):
        n_last += sizes.pop()
    kept = sum(sizes)
    new = compressed(old.searching.codec, _filled(encoded, old.record))
    last = Chunk.joined([old.chunk.kept(range(kept, sum(old.record.chunks))), new])
    everything = Chunk.joined([old.chunk, new])
    untouched = [CODEC, (PROBE,), *((*chunk_files(n), texts_file(n)) for n in range(len(sizes)))]
    known = _link(target, old, [name for names in untouched for name in names])
    write_chunk(target, len(sizes), last, (kept, len(everything.codes) - len(last.codes)))
    write_passages(target / texts_file(len(sizes)), [*old.catalogue.passages[kept:], *passages])
    record = replace(old.record, chunks=(*sizes, n_last))
    _write_whole(target, record, everything)
    _seal(target, record, known)


def write_deleted(target: Path, old: Generation, ids: Sequence[str]) -> None:
    """Write a generation that finds some passages no more.

    Raises:
        ValueError: An id is unknown.
    """
    deleted = {*old.record.deleted, *old.catalogue.positions(ids)}
    if 3 * len(deleted) > len(old.catalogue.passages):
        _write_kept(target, old, deleted)
    else:
        known = _link(target, old, old.files)
        _seal(target, replace(old.record, deleted=tuple(sorted(deleted))), known)


def write_compact(target: Path, old: Generation) -> None:
    """Write a generation without the vectors and texts of what was deleted."""
    _write_kept(target, old, set(old.record.deleted))


def _write_kept(target: Path, old: Generation, deleted: set[int]) -> None:
    kept = [number for number in range(len(old.catalogue.passages)) if number not in deleted]
    chunk = old.chunk.kept(kept)
    known = _link(target, old, [*CODEC, PROBE])
    write_chunk(target, 0, chunk, (0, 0))
    write_passages(target / texts_file(0), [old.catalogue.passages[number] for number in kept])
    record = replace(old.record, chunks=(len(kept),), deleted=())
    _write_whole(target, record, chunk)
    _seal(target, record, known)


def _filled(encoded: Encoded, record: Record) -> Encoded:
    # A byte must not end within a vector.
    missing = record.stored_dim - record.dim
    return Encoded(torch.nn.functional.pad(encoded.vectors, (0, missing)), encoded.lengths)


def _write_whole(target: Path, record: Record, chunk: Chunk) -> None:
    write_lists(target, chunk, record.n_centroids)
    write_metadata(
        target, record.stored_dim, record.nbits, len(record.chunks), record.n_centroids, chunk
    )


def _link(target: Path, old: Generation, names: Iterable[str]) -> dict[str, Sum]:
    """Take files over; returns their checksums as they were when the bytes were written."""
    known = {name: old.files[name] for name in names}
    for name in known:
        link(old.folder / name, target / name)
    return known


def _seal(target: Path, record: Record, known: Mapping[str, Sum]) -> None:
    """Write the record, with the checksums of all files."""
    files = {file.name: known.get(file.name) or checksum(file) for file in sorted(target.iterdir())}
    content = {"format": FORMAT, **asdict(record), "files": files}
    (target / RECORD).write_text(json.dumps(content, indent=1), "utf-8")
