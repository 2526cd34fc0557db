from __future__ import annotations

import pytest
from tests.distributed.conftest import read, rows, write

from rag_rerankers import DataError
from rag_rerankers.distributed.chunks import Chunk, InputFile
from rag_rerankers.distributed.manifest import NAME, Manifest
from rag_rerankers.distributed.parts import Parts
from rag_rerankers.distributed.places import place
from rag_rerankers.distributed.report import Tally

pa = pytest.importorskip("pyarrow", reason="needs the extra 'ray'")

FILES = (InputFile("a.parquet", 10, 1234, 5), InputFile("b.parquet", 20, 2345, 6))
TALLY = Tally(rows=3, texts=3, failed=1, tokens=40, cut=2)


def table(n):
    return pa.Table.from_pylist(rows(0, n))


@pytest.fixture
def parts(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return Parts(place(folder), "d" * 64)


def test_a_part_tells_what_it_holds(parts):
    chunk = Chunk(5, "a.parquet", 0, 3)
    assert parts.tally(chunk) is None
    parts.write(chunk, table(3), TALLY)
    assert parts.tally(chunk) == TALLY
    assert parts.present([Chunk(4, "a.parquet", 3, 3), chunk]) == {5: TALLY}


def test_the_input_s_own_metadata_stays(parts):
    from pyarrow import parquet

    chunk = Chunk(0, "a.parquet", 0, 3)
    parts.write(chunk, table(3).replace_schema_metadata({"mine": "kept"}), TALLY)
    assert parquet.read_schema(parts.path(0)).metadata[b"mine"] == b"kept"


@pytest.mark.parametrize(
    ("digest", "n_rows"), [("e" * 64, 3), ("d" * 64, 4)], ids=["other settings", "other rows"]
)
def test_a_part_of_something_else_does_not_count(parts, digest, n_rows):
    Parts(parts.folder, digest).write(Chunk(0, "a", 0, n_rows), table(n_rows), TALLY)
    assert parts.tally(Chunk(0, "a", 0, 3)) is None


def test_a_part_that_is_cut_short_does_not_count(parts, tmp_path):
    chunk = Chunk(0, "a", 0, 3)
    parts.write(chunk, table(3), TALLY)
    path = tmp_path / "out" / "part-000000.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    assert parts.present([chunk]) == {}


def test_what_was_not_finished_is_no_part_and_is_removed(parts, tmp_path):
    unfinished = tmp_path / "out" / "_unfinished"
    write(unfinished / "0.abc", rows(0, 3))
    parts.write(Chunk(1, "a", 3, 3), table(3), TALLY)
    assert len(read(tmp_path / "out")) == 3
    assert parts.present([Chunk(0, "a", 0, 3)]) == {}
    parts.clear()
    assert not unfinished.exists()
    parts.clear()


def test_a_part_may_be_written_twice(parts, tmp_path):
    chunk = Chunk(0, "a", 0, 3)
    parts.write(chunk, table(3), TALLY)
    parts.write(chunk, table(3), TALLY)
    assert len(read(tmp_path / "out")) == 3


def test_a_folder_is_claimed_once_and_recognised(tmp_path):
    manifest = Manifest({"model": "m", "max_length": None, "columns": ["a", "b"]}, FILES)
    for _ in range(2):
        manifest.claim(place(tmp_path / "new" / "out"))
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("settings", "files", "told"),
    [
        ({"model": "n"}, FILES, "model was 'm' and is 'n'"),
        ({"model": "m", "more": 1}, FILES, "more was None and is 1"),
        ({"model": "m"}, FILES[:1], r"b\.parquet belonged to the input and does not now"),
        ({"model": "m"}, FILES[::-1], "in another order"),
        (
            {"model": "m"},
            (FILES[0], InputFile("b.parquet", 20, 2345, 7)),
            r"b\.parquet has been changed",
        ),
        (
            {"model": "m"},
            (*FILES, InputFile("c.parquet", 1, 1, 1)),
            r"c\.parquet belongs to the input and did not then",
        ),
    ],
)
def test_what_differs_is_told(tmp_path, settings, files, told):
    Manifest({"model": "m"}, FILES).claim(place(tmp_path))
    with pytest.raises(DataError, match=told):
        Manifest(settings, files).claim(place(tmp_path))


def test_a_folder_of_somebody_else_is_not_touched(tmp_path):
    write(tmp_path / "mine.parquet", rows(0, 1))
    with pytest.raises(DataError, match=r"it holds 'mine\.parquet'"):
        Manifest({}, FILES).claim(place(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.parquet"]


def test_a_claim_that_was_cut_short_is_no_hindrance(tmp_path):
    (tmp_path / f"{NAME}.0123").write_text("{")
    Manifest({}, FILES).claim(place(tmp_path))
    assert (tmp_path / NAME).exists()


def test_a_damaged_manifest_is_not_guessed_at(tmp_path):
    (tmp_path / NAME).write_text('{"settings": {}}')
    with pytest.raises(DataError, match="is damaged"):
        Manifest({}, FILES).claim(place(tmp_path))
