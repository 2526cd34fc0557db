from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.data_files import counts, examples, write

from rag_rerankers.errors import DataError
from rag_rerankers.evaluation.lines import find, open_text, read_json_objects, read_lines
from rag_rerankers.evaluation.problems import Problems

NAMES = ("rows.txt", "rows.txt.gz")


def lines_of(path: Path) -> list[tuple[int, str]]:
    problems = Problems()
    found = list(read_lines(path, problems))
    assert not list(problems)
    return found


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["b.tsv.gz", "a.tsv.gz", "a.tsv", "b.tsv"], "a.tsv"),
        (["b.tsv", "a.tsv.gz"], "a.tsv.gz"),
        (["b.tsv.gz"], "b.tsv.gz"),
        (["c.tsv", "a.tsv.gz.gz"], None),
    ],
)
def test_the_first_name_wins_and_plain_files_go_before_gzipped_ones(
    tmp_path: Path, there: list[str], expected: str | None
) -> None:
    for name in there:
        write(tmp_path / name, "x")
    found = find(tmp_path, "a.tsv", "b.tsv")
    assert found == (tmp_path / expected if expected else None)


def test_a_folder_is_no_file_that_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").mkdir()
    assert find(tmp_path, "a.tsv") is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\nb\n", [(1, "a"), (2, "b")]),
        ("a\nb", [(1, "a"), (2, "b")]),
        ("\ufeffa\nb\n", [(1, "a"), (2, "b")]),
        ("a\r\nb\r\n", [(1, "a"), (2, "b")]),
        ("\n \t\na\n\r\n  b \n\n", [(3, "a"), (5, "  b ")]),
        ("a\u2028b\u2029c\x85d\x0be\x1cf\ng\n", [(1, "a\u2028b\u2029c\x85d\x0be\x1cf"), (2, "g")]),
        ("", []),
        ("\ufeff", []),
    ],
    ids=["plain", "no end", "mark", "crlf", "blank", "other line ends", "empty", "only a mark"],
)
def test_lines_are_numbered_as_an_editor_does(
    tmp_path: Path, name: str, content: str, expected: list[tuple[int, str]]
) -> None:
    assert lines_of(write(tmp_path / name, content)) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [b"caf\xe9", b"\xff", b"\xed\xa0\x80"])
def test_a_line_that_is_not_utf_8_is_a_problem_and_the_others_are_read(
    tmp_path: Path, name: str, bad: bytes
) -> None:
    problems = Problems()
    path = write(tmp_path / name, b"a\n" + bad + b"\nb\n")
    assert list(read_lines(path, problems)) == [(1, "a"), (3, "b")]
    assert counts(problems) == {"a malformed line": 1}
    assert examples(problems) == [f"{path}:2: not UTF-8"]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ('{"a": 1', '{"a": 1'),
        ("{'a': 1}", "{'a': 1}"),
        ('{"a": 1} {"b": 2}', "Extra data"),
        ("[1]", "not a JSON object: [1]"),
        ('"word"', 'not a JSON object: "word"'),
        ("null", "not a JSON object: null"),
        ("NaN", "not a JSON object: NaN"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_line_that_is_no_json_object_is_a_problem(tmp_path: Path, bad: str, told: str) -> None:
    problems = Problems()
    path = write(tmp_path / "rows.jsonl", f'{{"a": 0}}\n\n{bad}\n{{"b": 1}}\n')
    assert list(read_json_objects(path, problems)) == [(1, {"a": 0}), (4, {"b": 1})]
    assert counts(problems) == {"a malformed line": 1}
    (example,) = examples(problems)
    assert example.startswith(f"{path}:3: ")
    assert told in example
    assert len(example) < len(str(path)) + 200


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_every_text_comes_back_from_a_file_of_json(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = (json.dumps({"text": text}, ensure_ascii=False) for text in texts)
        path = write(Path(folder, "rows.jsonl"), "\n".join(rows))
        found = list(read_json_objects(path, Problems()))
    assert found == [(line, {"text": text}) for line, text in enumerate(texts, 1)]


def test_line_ends_within_quoted_cells_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    with open_text(write(tmp_path / "a.csv.gz", '"a\r\nb"\r\n'), newline="") as file:
        assert file.read() == '"a\r\nb"\r\n'


def whole() -> bytes:
    return gzip.compress(b'{"_id": "d1", "text": "the giant panda is a bear"}\n' * 9, mtime=0)


def with_broken_blocks() -> bytes:
    raw = bytearray(whole())
    raw[10:20] = b"\xff" * 10  # behind the heading of ten bytes
    return bytes(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(whole()[:-12], id="truncated"),
        pytest.param(whole()[:-8] + bytes(8), id="another checksum"),
        pytest.param(b"plain text\n", id="no gzip"),
        pytest.param(with_broken_blocks(), id="broken blocks"),
    ],
)
def test_a_broken_gzip_file_is_told_with_its_name(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "corpus.jsonl.gz"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"corpus\.jsonl\.gz cannot be read: "):
        list(read_lines(path, Problems()))


def test_a_file_that_is_missing_or_a_folder_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tsv", tmp_path / "none.tsv.gz", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            list(read_lines(path, Problems(lenient=True)))
