"""The files of an output folder: each is there whole, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING
from uuid import uuid4

from rag_rerankers.distributed.chunks import Chunk
from rag_rerankers.distributed.places import Place
from rag_rerankers.distributed.report import Tally

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["UNFINISHED", "Parts"]

UNFINISHED = "_unfinished"
_KEY = b"rag_rerankers"
_THREADS = 16


class Parts:
    """Writes parts and looks after them; can be sent to other machines.

    Args:
        folder: Where they are.
        digest: Of the manifest: a part of another one does not count.
    """

    def __init__(self, folder: Place, digest: str) -> None:
        self.folder = folder
        self.digest = digest

    def path(self, number: int) -> str:
        """Of a part's file."""
        return self.folder.inside(_name(number))

    def write(self, chunk: Chunk, table: pa.Table, tally: Tally) -> None:
        """Write a part: under another name, and then renamed.

        Two workers may write the same part, when one of them was taken for dead: either is right.
        """
        from pyarrow import parquet

        about = json.dumps({"digest": self.digest, "tally": asdict(tally)}).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: about})
        files = self.folder.files
        files.create_dir(self.folder.inside(UNFINISHED), recursive=True)
        unfinished = self.folder.inside(UNFINISHED, f"{chunk.number}.{uuid4().hex}")
        try:
            with files.open_output_stream(unfinished) as out:
                parquet.write_table(table, out, compression="zstd")
            files.move(unfinished, self.path(chunk.number))
        except OSError:
            # Another run on the same folder may have finished, and cleared up.
            if self.tally(chunk) is None:
                raise

    def tally(self, chunk: Chunk) -> Tally | None:
        """What a chunk's part holds; None if it must be made."""
        from pyarrow import parquet

        try:
            with self.folder.files.open_input_file(self.path(chunk.number)) as source:
                footer = parquet.read_metadata(source)
            about = json.loads(footer.schema.to_arrow_schema().metadata[_KEY])
            tally = Tally(**about["tally"])
        except (OSError, ValueError, KeyError, TypeError):
            # Absent, or damaged (by a machine that lost its power): it is made again.
            return None
        whole = footer.num_rows == tally.rows == chunk.rows
        return tally if whole and about["digest"] == self.digest else None

    def present(self, chunks: Iterable[Chunk]) -> dict[int, Tally]:
        """What is there of these chunks, by their numbers."""
        from pyarrow import fs

        listed = self.folder.files.get_file_info(fs.FileSelector(self.folder.path))
        names = {info.base_name for info in listed}
        chunks = [chunk for chunk in chunks if _name(chunk.number) in names]
        with ThreadPoolExecutor(_THREADS) as pool:
            tallies = pool.map(self.tally, chunks)
            return {
                chunk.number: tally
                for chunk, tally in zip(chunks, tallies, strict=True)
                if tally is not None
            }

    def clear(self) -> None:
        """Remove what killed workers left; not while others may be writing."""
        from pyarrow import fs

        path = self.folder.inside(UNFINISHED)
        if self.folder.files.get_file_info(path).type != fs.FileType.NotFound:
            self.folder.files.delete_dir(path)


def _name(number: int) -> str:
    return f"part-{number:06d}.parquet"
