"""What is known about the passages of an index besides their vectors: ids, texts, metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rag_rerankers.inputs import check_texts
from rag_rerankers.plaid.hits import PlaidHit

__all__ = [
    "Catalogue",
    "Passage",
    "check_ids",
    "check_passages",
    "read_passages",
    "write_passages",
]


class Passage(NamedTuple):
    """A passage as it is stored.

    Attributes:
        id: Unique among the passages that are not deleted.
        text: The text.
        metadata: A JSON object; parsed anew for every hit, so that no caller can change it.
    """

    id: str
    text: str
    metadata: str = "{}"

    def hit(self, score: float, relevance: float) -> PlaidHit:
        """The passage as a hit."""
        return PlaidHit(self.id, self.text, score, relevance, json.loads(self.metadata))


def check_passages(
    ids: Iterable[str],
    texts: Iterable[str],
    metadatas: Iterable[Mapping[str, Any] | None] | None = None,
) -> list[Passage]:
    """Turn what a caller gave into passages.

    Args:
        ids: One string for each text.
        texts: The texts.
        metadatas: One mapping, or None, for each text; what JSON can hold.

    Raises:
        TypeError: An id or text is not a string, or metadata is not what JSON can hold.
        ValueError: The numbers differ, or an id comes twice.
    """
    checked_texts = check_texts(texts)
    checked_ids = check_ids(ids)
    if len(checked_ids) != len(checked_texts):
        raise ValueError(
            f"there are {len(checked_ids)} ids for {len(checked_texts)} texts: give one for each"
        )
    given = [None] * len(checked_ids) if metadatas is None else list(metadatas)
    if len(given) != len(checked_ids):
        raise ValueError(
            f"there are {len(given)} metadatas for {len(checked_ids)} texts: give one for each, "
            "None where there is none"
        )
    seen: dict[str, int] = {}
    for index, id_ in enumerate(checked_ids):
        if seen.setdefault(id_, index) != index:
            raise ValueError(
                f"the id {id_!r} is given twice, at {seen[id_]} and {index}: ids must be unique"
            )
    return [
        Passage(id_, text, _as_json(id_, metadata))
        for id_, text, metadata in zip(checked_ids, checked_texts, given, strict=True)
    ]


def check_ids(ids: object) -> list[str]:
    """Return the ids as a list.

    Raises:
        TypeError: Not an iterable of strings; the message names the first bad index.
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise TypeError(f"ids must be a list of strings, not {ids!r:.100}")
    checked = list(ids)
    for index, id_ in enumerate(checked):
        if not isinstance(id_, str):
            raise TypeError(
                f"id {index} is not a string but {type(id_).__name__}: {id_!r:.100}. "
                "Give str(...) of it"
            )
    return checked


def _as_json(id_: str, metadata: object) -> str:
    if metadata is None:
        return "{}"
    if not isinstance(metadata, Mapping):
        raise TypeError(f"the metadata of {id_!r} must be a mapping or None, not {metadata!r:.100}")
    try:
        return json.dumps(dict(metadata))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"the metadata of {id_!r} cannot be stored as JSON ({error}): {metadata!r:.200}"
        ) from error


class Catalogue:
    """The passages of an index by their positions; immutable.

    Args:
        passages: All of them, deleted ones included: the position is what the vectors know.
        deleted: Positions of those that are gone.
    """

    def __init__(self, passages: Sequence[Passage], deleted: Iterable[int] = ()) -> None:
        self.passages = passages
        self.deleted = frozenset(deleted)
        self._position = {
            passage.id: position
            for position, passage in enumerate(passages)
            if position not in self.deleted
        }

    def __len__(self) -> int:
        """Passages that are not deleted."""
        return len(self._position)

    @property
    def ids(self) -> list[str]:
        """Ids of the passages that are not deleted, in the order in which they came."""
        return list(self._position)

    def living(self) -> list[Passage]:
        """The passages that are not deleted, in the order in which they came."""
        return [self.passages[position] for position in self._position.values()]

    def positions(self, ids: Sequence[str]) -> list[int]:
        """Where passages stand.

        Raises:
            ValueError: An id is unknown; the message holds it.
        """
        unknown = [id_ for id_ in ids if id_ not in self._position]
        if unknown:
            raise ValueError(
                f"{_some(unknown)} not in the index of {len(self)} passages: "
                "see .ids for what there is"
            )
        return [self._position[id_] for id_ in ids]

    def refuse_known(self, ids: Iterable[str]) -> None:
        """Refuse ids that are taken.

        Raises:
            ValueError: An id is known; the message holds it.
        """
        known = [id_ for id_ in ids if id_ in self._position]
        if known:
            raise ValueError(
                f"{_some(known)} in the index already: delete() first what is to be replaced"
            )


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(id_) for id_ in ids[:5])
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return f"{shown}{more} {'is' if len(ids) == 1 else 'are'}"


def write_passages(path: Path, passages: Iterable[Passage]) -> None:
    """Write one JSON array a line; any text survives, lone surrogates too."""
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        for passage in passages:
            file.write(json.dumps(passage, ensure_ascii=False) + "\n")


def read_passages(path: Path) -> list[Passage]:
    """Read what :func:`write_passages` wrote."""
    with path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        return [Passage(*json.loads(line)) for line in file]
