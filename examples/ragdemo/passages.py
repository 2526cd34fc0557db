"""Passages of Python's own language documentation, which ships inside every Python."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

MAX_CHARS = 900  # about 230 word pieces: the demo's embedding model reads 256
MIN_CHARS = 200  # a shorter rest joins its neighbour

_LEVELS = "*=-~^"  # heading underlines of pydoc topics, outermost first
_NOTE = re.compile(r"(Changed|New|Added|Deprecated) (in|since) version")
_TERM_MAX = 80
# "A passage had best end here": a control character, which no documentation holds.
_UNIT = "\x1e"
_ROW = "\x1d"  # the same between the rows of a table
_SENTENCE = r"(?<=[.:)])\s\s?(?=[A-Z\"(*])"


class CorpusError(ValueError):
    """Documents that cannot be turned into passages."""


@dataclass(frozen=True)
class Passage:
    """A piece of documentation, short enough to be embedded and reranked whole.

    Attributes:
        id: Stable and unique within its corpus.
        title: The headings above the passage, outermost first, joined by ``" > "``.
        text: The title line, an empty line, and the words of the passage. The title is part of
            it because a piece from the middle of a section seldom names its own subject
            ("The first form ..."): embedding model, reranker, LLM and reader all need it.
        source: Where a person finds it, such as ``help("with")`` or a file's path.
    """

    id: str
    title: str
    text: str
    source: str


@dataclass(frozen=True)
class _Unit:
    """Paragraphs that only make sense together, such as a method and its description."""

    text: str
    term: str  # what is being defined where a piece starts in mid-definition, or ""

    @property
    def key(self) -> str:
        """What makes two units the same: their words, whatever the wrapping or footnote number."""
        return " ".join(re.sub(r"\[\d+\]", "", self.text).split())


@dataclass(frozen=True)
class _Section:
    path: tuple[str, ...]
    units: tuple[_Unit, ...]


def python_docs() -> list[Passage]:
    """Return Python's language documentation as passages, each paragraph in one of them only.

    Topics overlap ("compound" repeats "with"): a paragraph stays under the shortest, most
    specific topic that has it, and takes its title from the longest heading path it has anywhere.

    Raises:
        CorpusError: This Python was packaged without its documentation.
    """
    try:
        from pydoc_data.topics import topics
    except ModuleNotFoundError as error:
        raise CorpusError(
            "this Python comes without its documentation (no module 'pydoc_data'); use a full "
            "Python, or give a folder of your own documents with --docs FOLDER"
        ) from error
    return topic_passages(topics)


def topic_passages(topics: dict[str, str]) -> list[Passage]:
    """Return the passages of pydoc-style `topics` (name to plain text with underlined headings)."""
    sections = {name: tuple(_sections(text)) for name, text in topics.items()}
    paths = _longest_paths(sections)
    passages: dict[str, list[Passage]] = {name: [] for name in topics}
    seen: set[str] = set()
    ordinals: dict[str, int] = {}

    def specificity(name: str) -> tuple[int, bool, str]:
        # 'else' and 'if' are the same text, headed 'The "if" statement': it belongs to 'if'.
        return len(topics[name]), f'"{name}"' not in topics[name].partition("\n")[0], name

    for name in sorted(topics, key=specificity):
        for section in sections[name]:
            fresh = [unit for unit in section.units if unit.key not in seen]
            seen.update(unit.key for unit in fresh)
            prefix = f"{name}/{_slug(section.path[-1] if section.path else name)}"
            for body, unit in pack(fresh):
                if _NOTE.match(body) and len(body) < MIN_CHARS:
                    continue  # "New in version 3.5." alone does not say what is new
                ordinals[prefix] = ordinals.get(prefix, 0) + 1
                path = paths.get((unit.key, section.path[-1:]), section.path)
                title = " > ".join([*(path or (name,)), *([unit.term] if unit.term else [])])
                passages[name].append(
                    Passage(
                        id=f"{prefix}/{ordinals[prefix]}",
                        title=title,
                        text=f"{title}\n\n{body}",
                        source=f'help("{name}")',
                    )
                )
    return [passage for name in sorted(topics) for passage in passages[name]]


def split_text(text: str) -> list[str]:
    """Split plain text at paragraph ends into pieces of at most about `MAX_CHARS` characters."""
    text = text.replace(_UNIT, " ").replace(_ROW, " ")
    return [body for body, _ in pack(_units(text))]


def pack(units: Sequence[_Unit]) -> list[tuple[str, _Unit]]:
    """Join units up to `MAX_CHARS`, cut longer ones, let no short rest stand alone.

    Returns the pieces in order, each with the unit that it starts in.
    """
    if not units:
        return []
    starts = [0]
    for unit in units[:-1]:
        starts.append(starts[-1] + len(unit.text) + 1)
    chunks: list[tuple[int, str]] = []
    for document in _splitter().create_documents([_UNIT.join(unit.text for unit in units)]):
        at, chunk = document.metadata["start_index"], document.page_content
        if chunks and min(len(chunk), len(chunks[-1][1])) < MIN_CHARS:
            chunks[-1] = (chunks[-1][0], chunks[-1][1] + chunk)
        else:
            chunks.append((at, chunk))
    pieces: list[tuple[str, _Unit]] = []
    for at, chunk in chunks:
        words_at = at + len(chunk) - len(chunk.lstrip(f"\n{_UNIT}{_ROW}"))
        unit = units[bisect_right(starts, words_at) - 1]
        if at and chunk.startswith(" "):  # cut between two sentences: no indentation
            chunk = chunk.lstrip(" ")
        body = dedent(chunk.replace(_UNIT, "\n\n").replace(_ROW, "\n").strip("\n").rstrip())
        if body:
            pieces.append((body, unit))
    return pieces


@cache
def _splitter() -> RecursiveCharacterTextSplitter:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(
        separators=[_UNIT, "\n\n", _ROW, _SENTENCE, "\n", " ", ""],
        is_separator_regex=True,
        strip_whitespace=False,
        chunk_size=MAX_CHARS,
        chunk_overlap=0,
        add_start_index=True,
    )


_Place = tuple[str, tuple[str, ...]]  # a unit's key and the heading right above it


def _longest_paths(sections: dict[str, tuple[_Section, ...]]) -> dict[_Place, tuple[str, ...]]:
    paths: dict[_Place, tuple[str, ...]] = {}
    for topic in sections.values():
        for section in topic:
            for unit in section.units:
                place = (unit.key, section.path[-1:])
                if len(section.path) > len(paths.get(place, ())):
                    paths[place] = section.path
    return paths


def _sections(text: str) -> Iterator[_Section]:
    path: list[str] = []
    body: list[str] = []
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")):
        heading = _heading(paragraph)
        if heading is None:
            body.append(paragraph)
            continue
        if body:
            yield _Section(tuple(path), tuple(_units("\n\n".join(body))))
            body = []
        level, title = heading
        path = [*path[:level], title]
    if body:
        yield _Section(tuple(path), tuple(_units("\n\n".join(body))))


def _heading(paragraph: str) -> tuple[int, str] | None:
    if paragraph.strip() == "-[ Footnotes ]-":
        return 1, "Footnotes"
    title, _, line = paragraph.partition("\n")
    if line and set(line) <= {line[0]} and line[0] in _LEVELS and abs(len(line) - len(title)) < 3:
        return _LEVELS.index(line[0]), title.strip()
    return None


def _units(text: str) -> list[_Unit]:
    """Group paragraphs: one that is indented deeper belongs to the one above it."""
    units: list[_Unit] = []
    terms: list[tuple[int, str]] = []  # the definitions that enclose the current paragraph
    last_indent = 0
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")):
        if not paragraph.strip():
            continue
        indent = len(paragraph) - len(paragraph.lstrip())
        terms = [(depth, term) for depth, term in terms if depth < indent]
        first = paragraph.strip().partition("\n")[0]
        body = _table(paragraph) if first.startswith("+--") else paragraph.rstrip()
        if units and (indent > last_indent or _NOTE.match(first)):
            units[-1] = _Unit(f"{units[-1].text}\n\n{body}", units[-1].term)
        else:
            units.append(_Unit(body, terms[-1][1] if terms else ""))
        if "\n" not in paragraph.strip() and first[-1] not in ".:;," and first[0] not in "*-|>":
            terms.append((indent, first[:_TERM_MAX]))
        last_indent = indent
    return units


def _table(paragraph: str) -> str:
    """Write a drawn table with one line per row: borders and padding would fill the passage."""
    rows: list[str] = []
    cells: list[str] = []
    for line in [*paragraph.splitlines(), "+"]:
        parts = [part.strip() for part in line.strip().strip("|").split("|")]
        if line.lstrip().startswith(("+", "|==")):
            if any(cells):
                rows.append(" | ".join(cells))
            cells = []
        elif len(parts) != len(cells) and cells:  # a "|" inside a cell: keep the words
            cells[-1] = f"{cells[-1]} {' '.join(line.replace('|', ' ').split())}"
        else:
            above = cells or [""] * len(parts)
            cells = [f"{a} {b}".strip() for a, b in zip(above, parts, strict=True)]
    return _ROW.join(rows)


def _slug(heading: str) -> str:
    return re.sub(r"[^\w]+", "-", heading.replace("*", "").lower()).strip("-") or "text"
