"""How often a chunk was begun: one that kills its workers must not kill them for ever."""

from __future__ import annotations

from uuid import uuid4

from rag_rerankers.distributed.chunks import Chunk
from rag_rerankers.distributed.parts import UNFINISHED
from rag_rerankers.distributed.places import Place
from rag_rerankers.errors import RerankError

__all__ = ["MOST", "Attempts"]

MOST = 5
"""Attempts at one chunk in one run, after which it is the chunk and not the machine."""


class Attempts:
    """Leaves a file for each attempt, which a worker that is killed cannot take back.

    Args:
        folder: Of the output.
        run: The name of this run: what happened in an earlier one does not count.
    """

    def __init__(self, folder: Place, run: str) -> None:
        self._folder = folder
        self._run = run

    def begin(self, chunk: Chunk) -> None:
        """Note that work on a chunk begins.

        Raises:
            RerankError: It has begun too often and never ended.
        """
        from pyarrow import fs

        path = self._path(chunk)
        files = self._folder.files
        before = len(files.get_file_info(fs.FileSelector(path, allow_not_found=True)))
        if before >= MOST:
            raise RerankError(
                f"rows {chunk.first} to {chunk.first + chunk.rows - 1} of {chunk.path} ended "
                f"{before} workers in a row (killed, or out of memory). Parts that are done stay: "
                "mend these rows, or give the workers more memory, and run it again"
            )
        files.create_dir(path, recursive=True)
        files.open_output_stream(f"{path}/{uuid4().hex}").close()

    def end(self, chunk: Chunk) -> None:
        """Note that it is done, well or not: the worker lives."""
        from pyarrow import fs

        path = self._path(chunk)
        if self._folder.files.get_file_info(path).type != fs.FileType.NotFound:
            self._folder.files.delete_dir(path)

    def _path(self, chunk: Chunk) -> str:
        return self._folder.inside(UNFINISHED, f"attempts-{self._run}", str(chunk.number))
