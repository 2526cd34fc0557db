"""What an output folder is being made of: no run may add parts that were made of something else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from rag_rerankers.distributed.chunks import InputFile
from rag_rerankers.distributed.places import Place
from rag_rerankers.errors import DataError

__all__ = ["NAME", "Manifest"]

NAME = "_manifest.json"


@dataclass(frozen=True)
class Manifest:
    """Settings that the numbers depend on, and the files of the input.

    Attributes:
        settings: By name; JSON's types only.
        files: The input.
    """

    settings: Mapping[str, Any]
    files: tuple[InputFile, ...]

    def to_json(self) -> str:
        """The text of the file."""
        files = [asdict(file) for file in self.files]
        return json.dumps({"settings": dict(self.settings), "files": files}, indent=1)

    @property
    def digest(self) -> str:
        """Stands in every part that was made so."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def claim(self, folder: Place) -> None:
        """Make the folder one of this manifest, or see that it is.

        Raises:
            DataError: It holds something else, or the result of other settings or another input.
        """
        from pyarrow import fs

        path = folder.inside(NAME)
        if folder.files.get_file_info(path).type == fs.FileType.File:
            self._compare(folder, path)
            return
        foreign = [
            info.base_name
            for info in folder.files.get_file_info(
                fs.FileSelector(folder.path, allow_not_found=True)
            )
            # What a first run had begun when it was killed.
            if not info.base_name.startswith(NAME)
        ]
        if foreign:
            raise DataError(
                f"{folder.path} is not empty (it holds {min(foreign)!r}) and was not made by this: "
                "give another folder"
            )
        folder.files.create_dir(folder.path, recursive=True)
        unfinished = f"{path}.{uuid4().hex}"
        with folder.files.open_output_stream(unfinished) as out:
            out.write(self.to_json().encode())
        folder.files.move(unfinished, path)

    def _compare(self, folder: Place, path: str) -> None:
        with folder.files.open_input_stream(path) as source:
            data = source.read()
        try:
            found = json.loads(data)
            settings, files = found["settings"], found["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged: give another folder") from error
        mine = json.loads(self.to_json())
        differences = [
            f"{name} was {settings.get(name)!r} and is {mine['settings'].get(name)!r}"
            for name in sorted({*settings, *mine["settings"]})
            if settings.get(name) != mine["settings"].get(name)
        ]
        if not differences and files != mine["files"]:
            differences.append(_difference(files, mine["files"]))
        if differences:
            raise DataError(
                f"{folder.path} holds the result of another run: {'; '.join(differences)}. "
                "Give another folder, or what that run was given"
            )


def _difference(was: list[dict[str, Any]], now: list[dict[str, Any]]) -> str:
    before, after = ({file["path"]: file for file in files} for files in (was, now))
    for path in sorted({*before, *after}):
        if path not in after:
            return f"{path} belonged to the input and does not now"
        if path not in before:
            return f"{path} belongs to the input and did not then"
        if before[path] != after[path]:
            return f"{path} has been changed since"
    return "the files of the input are in another order"
