from __future__ import annotations

import pytest
from tests.distributed.conftest import rows, write

from rag_rerankers import DataError
from rag_rerankers.distributed.chunks import Chunk, RowReader, cut, read_input
from rag_rerankers.distributed.places import place

pytest.importorskip("pyarrow", reason="needs the extra 'ray'")


def ids(table):
    return table["id"].to_pylist()


def test_the_input_is_cut_the_same_way_every_time_and_never_over_two_files(pairs):
    found = read_input([place(pairs)])
    chunks = list(cut(found.files, 32))
    a, b = (str(pairs / name) for name in ("a.parquet", "b.parquet"))
    assert chunks == [
        Chunk(0, a, 0, 32),
        Chunk(1, a, 32, 32),
        Chunk(2, a, 64, 6),
        Chunk(3, b, 0, 30),
    ]
    assert list(cut(read_input([place(pairs)]).files, 32)) == chunks


@pytest.mark.parametrize("size", [1, 7, 16, 17, 100])
def test_chunks_are_the_rows_of_the_input_whatever_its_row_groups(pairs, size):
    reader = RowReader(place(pairs))
    chunks = cut(read_input([place(pairs)]).files, size)
    assert [id_ for chunk in chunks for id_ in ids(reader.read(chunk))] == list(range(100))


def test_chunks_may_be_read_in_any_order(pairs):
    reader = RowReader(place(pairs))
    a, b = str(pairs / "a.parquet"), str(pairs / "b.parquet")
    assert ids(reader.read(Chunk(3, b, 15, 4))) == [85, 86, 87, 88]
    assert ids(reader.read(Chunk(0, a, 15, 2))) == [15, 16]
    assert ids(reader.read(Chunk(3, b, 0, 1))) == [70]


def test_a_file_that_lost_rows_is_not_taken_for_whole(pairs):
    write(pairs / "b.parquet", rows(70, 80))
    with pytest.raises(DataError, match=r"b\.parquet has 10 rows, and had more"):
        RowReader(place(pairs)).read(Chunk(3, str(pairs / "b.parquet"), 5, 10))


def test_hidden_files_and_others_are_left_out(pairs):
    write(pairs / "_unfinished" / "c.parquet", rows(0, 3))
    write(pairs / "deep" / "er" / "d.parquet", rows(100, 103))
    (pairs / ".e.parquet").write_text("not Parquet")
    (pairs / "README").write_text("not Parquet")
    names = [file.path for file in read_input([place(pairs)]).files]
    expected = ("a.parquet", "b.parquet", "deep/er/d.parquet")
    assert names == [str(pairs / name) for name in expected]


def test_files_may_be_given_one_by_one(pairs):
    places = [place(pairs / "b.parquet"), place(pairs / "a.parquet")]
    assert [file.rows for file in read_input(places).files] == [30, 70]


def test_a_uri_names_a_place_too(pairs):
    assert [file.rows for file in read_input([place(pairs.as_uri())]).files] == [70, 30]


def test_a_file_system_of_fsspec_is_taken(pairs):
    fsspec = pytest.importorskip("fsspec")
    found = read_input([place(pairs, fsspec.filesystem("file"))])
    assert [file.rows for file in found.files] == [70, 30]
    chunk = next(cut(found.files, 5))
    assert ids(RowReader(place(pairs, fsspec.filesystem("file"))).read(chunk)) == [0, 1, 2, 3, 4]


def test_input_that_cannot_be_used_is_named(pairs, tmp_path):
    with pytest.raises(DataError, match="absent does not exist"):
        read_input([place(tmp_path / "absent")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"there is no \.parquet file in .*empty"):
        read_input([place(tmp_path / "empty")])
    with pytest.raises(DataError, match=r"a\.parquet is named twice"):
        read_input([place(pairs), place(pairs / "a.parquet")])
    with pytest.raises(DataError, match="cannot be reached"):
        place("gopher://host/path")
    (pairs / "c.parquet").write_text("not Parquet")
    with pytest.raises(DataError, match=r"c\.parquet cannot be read as Parquet"):
        read_input([place(pairs)])


def test_files_with_other_columns_are_refused(pairs):
    write(pairs / "c.parquet", [{"id": "a string", "query": "q", "text": "t"}])
    with pytest.raises(DataError, match=r"c\.parquet has other columns than .*id string"):
        read_input([place(pairs)])
