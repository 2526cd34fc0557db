from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from rag_rerankers.server.sizes import estimated_tokens


@pytest.mark.parametrize(
    ("query", "texts", "tokens"),
    [
        ("", [], 0),
        ("panda", [], 0),
        ("", [""], 2),
        ("abcd", ["abcd"], 4),  # 4 bytes and one more, twice
        ("abcd", ["abc", "abcdefgh"], 3 + 5),
        ("", ["\u718a\u732b"], 1 + 2),  # 6 bytes
        ("", ["\U0001f43c"], 1 + 2),  # 4 bytes
        ("", ["\ud800x"], 1 + 2),  # half a pair counts as 3 bytes, as others of its size
    ],
)
def test_four_bytes_are_a_token(query, texts, tokens):
    assert estimated_tokens(query, texts) == tokens


def test_a_long_query_counts_with_every_text():
    assert estimated_tokens("x" * 4000, ["abcd", "abcd"]) == 2 * (1001 + 2)
