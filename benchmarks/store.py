"""The results: one JSON file of parts, each measured and replaced by itself.

Keys are ``part/model/size``, such as ``cpu/bge/50``. Each part names the machine that it was
measured on; ``machine/NAME`` says what that is, and ``versions/NAME/VENV`` what was installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Store", "merge"]

Part = dict[str, Any]


class Store:
    """A JSON file of parts.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: dict[str, Part] = {}
        if path.exists():
            self.parts = json.loads(path.read_text("utf-8"))

    def put(self, key: str, part: Mapping[str, Any]) -> None:
        """Replace one part and write the file."""
        # Somebody else may have added parts since this one was read.
        stored = json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}
        self.parts = merge(stored, {key: dict(part)})
        self.path.write_text(_dumped(self.parts), "utf-8")

    def get(self, key: str) -> Part | None:
        """One part, if it has been measured."""
        return self.parts.get(key)

    def under(self, prefix: str) -> Iterator[tuple[str, Part]]:
        """Parts below a key, with what is left of theirs, by number where that is one."""
        found = [
            (key.removeprefix(prefix + "/"), part)
            for key, part in self.parts.items()
            if key.startswith(prefix + "/")
        ]
        return iter(sorted(found, key=lambda item: (item[0].isdigit() and int(item[0]), item[0])))


def _dumped(parts: Mapping[str, Part]) -> str:
    """Indented JSON, but with the numbers of a list on one line."""
    text = json.dumps(parts, indent=1, sort_keys=True)
    return re.sub(r"\[\s+([-+\d.,e\s]+?)\s+\]", _joined, text) + "\n"


def _joined(found: re.Match[str]) -> str:
    return f"[{' '.join(found[1].split())}]"


def merge(known: Mapping[str, Part], found: Mapping[str, Part]) -> dict[str, Part]:
    """Parts of both; what was found replaces what was known under the same key."""
    return {**known, **found}
