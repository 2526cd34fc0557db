"""Passages of a user's own documents: Markdown, plain text, reStructuredText, HTML and PDF."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from ragdemo.passages import CorpusError, Passage, split_text

logger = logging.getLogger(__name__)

# The headings above a stretch of text, outermost first, and the text.
_Section = tuple[tuple[str, ...], str]

_NOT_CONTENT = ["script", "style", "noscript", "template", "nav"]


class _UnreadableError(Exception):
    """A file whose text cannot be had; the message says why."""


def folder_passages(path: str | Path, *, progress: bool = False) -> list[Passage]:
    """Return the passages of every supported document below `path`, in the order of their paths.

    Hidden files and folders are passed over and links to folders are not followed. A file that
    cannot be read (damaged, encrypted, empty, not text) is left out with a logged warning.

    Args:
        path: The folder.
        progress: Whether to show a progress bar on stderr.

    Raises:
        CorpusError: There is no such folder, or no readable document in it.
    """
    from tqdm import tqdm

    root = Path(path)
    if not root.is_dir():
        problem = "is a file; give the folder that holds it" if root.is_file() else "does not exist"
        raise CorpusError(f"document folder {str(root)!r} {problem}")
    files = sorted(_files(root), key=lambda file: file.relative_to(root).as_posix())
    if not files:
        raise CorpusError(
            f"no document found below {str(root)!r}; supported are files that end in "
            + ", ".join(sorted(_LOADERS))
        )
    passages: list[Passage] = []
    for file in tqdm(files, desc="reading documents", unit="file", disable=not progress):
        passages += _file_passages(file, file.relative_to(root).as_posix())
    if not passages:
        raise CorpusError(
            f"none of the {len(files)} documents below {str(root)!r} holds readable text; "
            "the warnings above say why"
        )
    return passages


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):  # does not follow links to folders
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if Path(name).suffix.lower() in _LOADERS and not name.startswith("."):
                yield Path(folder, name)


def _file_passages(file: Path, relative: str) -> list[Passage]:
    try:
        if not file.is_file():  # a pipe would block for ever, a broken link has no content
            raise _UnreadableError("not a regular file")
        sections = _LOADERS[file.suffix.lower()](file.read_bytes())
    except ImportError as error:  # nothing is wrong with the file
        raise CorpusError(
            f"reading {str(file)!r} needs the module {error.name!r}: "
            "pip install -r examples/requirements.txt"
        ) from error
    except (_UnreadableError, OSError) as error:
        logger.warning("skipped %s: %s", file, error)
        return []
    except Exception as error:  # parsers fail in their own ways on damaged files
        logger.warning("skipped %s: damaged (%s: %s)", file, type(error).__name__, error)
        return []
    passages: list[Passage] = []
    for headings, text in sections:
        title = " > ".join([relative, *headings])
        for body in split_text(_clean(text)):
            ident = f"{relative}#{len(passages) + 1}"
            passages.append(Passage(ident, title, f"{title}\n\n{body}", str(file)))
    if not passages:
        reason = "no text in it (a scan?)" if file.suffix.lower() == ".pdf" else "empty"
        logger.warning("skipped %s: %s", file, reason)
    return passages


def _clean(text: str) -> str:
    # Lone surrogates, which some PDFs yield, cannot be stored or embedded.
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def _decode(data: bytes) -> str:
    from charset_normalizer import from_bytes

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # not UTF-8; UTF-16 without a mark looks like UTF-8 full of zeros
        text = str(from_bytes(data).best() or "\0")
    if "\0" in text:
        raise _UnreadableError("not text in any known encoding")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _text(data: bytes) -> list[_Section]:
    return [((), _decode(data))]


def _markdown(data: bytes) -> list[_Section]:
    # Front matter is settings, not prose, and would read as a heading.
    return _markdown_sections(re.sub(r"\A---\n.*?\n---\n", "", _decode(data), flags=re.DOTALL))


def _markdown_sections(text: str) -> list[_Section]:
    from markdown_it import MarkdownIt

    lines = text.splitlines()
    tokens = MarkdownIt("commonmark").parse(text)
    sections: list[_Section] = []
    path: list[tuple[int, str]] = []
    start = 0
    for token, inline in pairwise(tokens):
        if token.type != "heading_open" or token.level or token.map is None:
            continue
        sections.append((tuple(name for _, name in path), "\n".join(lines[start : token.map[0]])))
        level, start = int(token.tag[1:]), token.map[1]
        path = [*(step for step in path if step[0] < level), (level, inline.content.strip())]
    sections.append((tuple(name for _, name in path), "\n".join(lines[start:])))
    return sections


def _html(data: bytes) -> list[_Section]:
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(data, "html.parser")  # finds the encoding in mark, header or bytes
    for element in soup(_NOT_CONTENT):
        element.decompose()
    converter = MarkdownConverter(
        heading_style="ATX", strip=["a", "img"], escape_asterisks=False, escape_underscores=False
    )
    return _markdown_sections(str(converter.convert_soup(soup.body or soup)))


def _rst(data: bytes) -> list[_Section]:
    from docutils import nodes
    from docutils.core import publish_doctree

    settings = {
        "report_level": 5,  # Sphinx roles and directives are unknown here: no reason to complain
        "halt_level": 5,
        "warning_stream": False,
        "file_insertion_enabled": False,  # an "include" may name any file of this machine
        "raw_enabled": False,
    }
    document = publish_doctree(_decode(data), settings_overrides=settings)

    def walk(node: nodes.Element, path: tuple[str, ...]) -> Iterator[_Section]:
        body: list[str] = []
        for child in node.children:
            if isinstance(child, nodes.section):
                yield path, "\n\n".join(body)
                body = []
                heading = child.next_node(nodes.title)
                yield from walk(child, (*path, heading.astext()) if heading else path)
            elif isinstance(child, nodes.system_message):  # keeps an unknown directive's source
                body += [block.astext() for block in child.findall(nodes.literal_block)]
            elif not isinstance(child, (nodes.title, nodes.comment)):
                body.append(child.astext())
        yield path, "\n\n".join(body)

    title = (document["title"],) if document.get("title") else ()
    return [
        (path, re.sub(r":[\w:+.-]+:`([^`]*)`", r"\1", text)) for path, text in walk(document, title)
    ]


def _pdf(data: bytes) -> list[_Section]:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise _UnreadableError("encrypted; it needs a password")
    return [
        ((f"page {number}",), page.extract_text()) for number, page in enumerate(reader.pages, 1)
    ]


_LOADERS: dict[str, Callable[[bytes], list[_Section]]] = {
    ".md": _markdown,
    ".txt": _text,
    ".rst": _rst,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
}
