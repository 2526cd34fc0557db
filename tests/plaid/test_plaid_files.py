from __future__ import annotations

import random

import pytest
import torch

from rag_rerankers.plaid.files import Chunk, inverted_lists, read_chunk, write_chunk


def chunk(lengths: list[int], seed: int = 0) -> Chunk:
    made = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    codes = torch.randint(0, 7, (n,), generator=made).int()
    return Chunk(codes, torch.randint(0, 256, (n, 4), generator=made).byte(), lengths)


def rows(given: Chunk) -> list[list[list[int]]]:
    """Code and residual of every vector, passage by passage."""
    pairs = [
        [code, *residual]
        for code, residual in zip(given.codes.tolist(), given.residuals.tolist(), strict=True)
    ]
    return [[pairs.pop(0) for _ in range(length)] for length in given.lengths]


def test_passages_are_kept_and_joined_with_their_vectors():
    given = chunk([3, 1, 4])
    assert rows(given.kept([2, 0])) == [rows(given)[2], rows(given)[0]]
    assert rows(given.kept([])) == []
    assert rows(Chunk.joined([given, chunk([2], 1)])) == rows(given) + rows(chunk([2], 1))


def test_a_chunk_survives_the_disk(tmp_path):
    write_chunk(tmp_path, 3, chunk([2, 5]), (10, 70))
    found = read_chunk(tmp_path, 3)
    assert rows(found) == rows(chunk([2, 5]))
    assert found.codes.dtype == torch.int32


@pytest.mark.parametrize("seed", range(4))
def test_inverted_lists_are_those_of_a_loop(seed):
    chosen = random.Random(seed)
    lengths = [chosen.randint(1, 6) for _ in range(chosen.choice([0, 1, 30]))]
    codes = chunk(lengths, seed).codes
    expected: list[list[int]] = [[] for _ in range(9)]
    position = 0
    for passage, length in enumerate(lengths):
        for code in sorted(set(codes[position : position + length].tolist())):
            expected[code].append(passage)
        position += length
    passages, sizes = inverted_lists(codes, lengths, 9)
    assert sizes.tolist() == [len(found) for found in expected]
    assert passages.tolist() == [passage for found in expected for passage in found]
    assert passages.dtype == torch.int32
