"""An entry is read as it was written, or not at all."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_rerankers.store.entries import StoredText, pack, unpack

KEY = bytes(range(16))
TEXT = StoredText((3, 1), cut=True, records=b"abcdefgh")


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
    st.booleans(),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
)
def test_what_is_written_is_read(lengths, cut, record, random):
    text = StoredText(tuple(lengths), cut, random.randbytes(sum(lengths) * record))
    assert unpack(KEY, pack(KEY, text), record) == text
    assert text.vectors == sum(lengths)


def test_the_bytes_are_those_of_the_format():
    body = bytes([1, 1]) + (2).to_bytes(4, "little")
    body += (3).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"abcdefgh"
    assert pack(KEY, TEXT) == blake2b(body, digest_size=8, key=KEY).digest() + body


@pytest.mark.parametrize("bit", range(8))
def test_a_bit_that_changed_anywhere_is_seen(bit):
    entry = pack(KEY, TEXT)
    for place in range(len(entry)):
        other = bytearray(entry)
        other[place] ^= 1 << bit
        assert unpack(KEY, bytes(other), 2) is None


def test_an_entry_that_was_cut_or_lies_under_another_key_is_not_read():
    entry = pack(KEY, TEXT)
    assert all(unpack(KEY, entry[:length], 2) is None for length in range(len(entry)))
    assert unpack(KEY, entry + b"x", 2) is None
    assert unpack(KEY[::-1], entry, 2) is None


def test_an_entry_of_another_version_or_size_of_vector_is_not_read():
    body = bytes([2, 0]) + pack(KEY, TEXT)[10:]
    assert unpack(KEY, blake2b(body, digest_size=8, key=KEY).digest() + body, 2) is None
    assert unpack(KEY, pack(KEY, TEXT), 4) is None
    assert unpack(KEY, pack(KEY, TEXT)) == TEXT
