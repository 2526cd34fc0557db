from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.local_ray import local_ray

SCHEMA_ROWS = 100


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A local Ray with room for two workers."""
    with local_ray():
        yield


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of two files: 100 rows, ten queries, ids 0 to 99."""
    folder = tmp_path / "pairs"
    write(folder / "a.parquet", rows(0, 70))
    write(folder / "b.parquet", rows(70, 100))
    return folder


def rows(first: int, end: int) -> list[dict[str, Any]]:
    return [
        {"id": n, "query": f"q{n % 10}", "text": "word " * (n % 7) + f"number {n}"}
        for n in range(first, end)
    ]


def write(path: Path, rows: list[dict[str, Any]], row_group_size: int = 16, **types: Any) -> Path:
    """A Parquet file; types are those that cannot be seen from the rows."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pylist(rows)
    for name, kind in types.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].cast(kind))
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=row_group_size)
    return path


def read(folder: Path) -> list[dict[str, Any]]:
    """All rows of an output, in the order of its parts; as any reader of Parquet sees them."""
    from pyarrow import dataset

    found: list[dict[str, Any]] = dataset.dataset(folder, format="parquet").to_table().to_pylist()
    return found
