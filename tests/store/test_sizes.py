from __future__ import annotations

import pytest

from rag_rerankers.store.sizes import parse_size, size_text


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("17B", 17), ("2kb", 2000), (" 1.5 MB ", 1_500_000), ("20GB", 20 * 10**9),
     ("3TB", 3 * 10**12)],
)  # fmt: skip
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "1 PB", "1,5GB", "ten"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (1_234_567, "1.2 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_are_written(size, text):
    assert size_text(size) == text
