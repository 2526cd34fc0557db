"""Against loops that do what the C++ does, and against the C++ where it was compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from tests.plaid.compiled import compiled

from rag_rerankers.plaid.kernels import (
    decompress_residuals,
    filter_pids,
    places,
    segmented_lookup,
)


class Index(NamedTuple):
    centroid_scores: torch.Tensor
    codes: torch.Tensor
    doclens: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor
    reversed_bits: torch.Tensor
    combinations: torch.Tensor
    residuals: torch.Tensor
    centroids: torch.Tensor
    dim: int
    nbits: int


def made(seed: int, n_passages: int = 40, nbits: int = 2) -> Index:
    """A random index; codes and residuals have rows to spare, as colbert-ai's do."""
    random = torch.Generator().manual_seed(seed)
    dim, n_centroids, per_byte = 16, 12, 8 // nbits
    doclens = torch.randint(1, 9, (n_passages,), generator=random)
    n_vectors = int(doclens.sum())
    combinations = [
        [(byte >> (8 - nbits * (place + 1))) & (2**nbits - 1) for place in range(per_byte)]
        for byte in range(256)
    ]
    bits = [
        sum(
            int(f"{(byte >> (8 - nbits * (p + 1))) & (2**nbits - 1):0{nbits}b}"[::-1], 2)
            << (8 - nbits * (p + 1))
            for p in range(per_byte)
        )
        for byte in range(256)
    ]
    return Index(
        torch.rand(n_centroids, 4, generator=random) * 2 - 1,
        torch.randint(0, n_centroids, (n_vectors + 5,), generator=random).int(),
        doclens,
        doclens.cumsum(0) - doclens,
        torch.randn(2**nbits, generator=random),
        torch.tensor(bits, dtype=torch.uint8),
        torch.tensor(combinations, dtype=torch.uint8),
        torch.randint(0, 256, (n_vectors + 5, dim // per_byte), generator=random).byte(),
        torch.randn(n_centroids, dim, generator=random),
        dim,
        nbits,
    )


def filtered_by_loop(pids: list[int], index: Index, near: list[bool], ndocs: int) -> list[int]:
    def best(pids: list[int], counted: list[bool], keep: int) -> list[int]:
        rated = []
        for pid in pids:
            start, length = int(index.offsets[pid]), int(index.doclens[pid])
            maxima = [np.float32(-9999)] * index.centroid_scores.shape[1]
            for code in index.codes[start : start + length].tolist():
                if counted[code]:
                    row = index.centroid_scores[code].numpy()
                    maxima = [max(old, new) for old, new in zip(maxima, row, strict=True)]
            total = np.float32(0)
            for value in maxima:
                total += value
            rated.append((total, pid))
        return [pid for _, pid in sorted(rated, reverse=True)[:keep]]

    return best(best(pids, near, ndocs), [True] * len(near), ndocs // 4)


def decompressed_by_loop(pids: list[int], index: Index) -> list[list[float]]:
    rows = []
    for pid in pids:
        start = int(index.offsets[pid])
        for vector in range(start, start + int(index.doclens[pid])):
            row = []
            for byte in index.residuals[vector].tolist():
                row += [
                    index.weights[bucket].item()
                    for bucket in index.combinations[int(index.reversed_bits[byte])].tolist()
                ]
            centroid = index.centroids[int(index.codes[vector])].tolist()
            rows.append([a + b for a, b in zip(row, centroid, strict=True)])
    return rows


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ndocs", [4, 13, 32, 400])
@pytest.mark.parametrize("threshold", [-2.0, 0.7, 2.0])
def test_candidates_are_those_of_the_loop(seed: int, ndocs: int, threshold: float) -> None:
    index = made(seed)
    pids = torch.randperm(40, generator=torch.Generator().manual_seed(seed))[:30].int()
    near = index.centroid_scores.max(-1).values >= threshold
    found = filter_pids(
        pids, index.centroid_scores, index.codes, index.doclens, index.offsets, near, ndocs
    )
    assert found.dtype == torch.int32
    assert found.tolist() == filtered_by_loop(pids.tolist(), index, near.tolist(), ndocs)


def test_candidates_are_the_same_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    index = made(0)
    near = index.centroid_scores.max(-1).values >= 0.7
    given = (torch.arange(40).int(), *index[:4], near, 32)
    whole = filter_pids(*given)
    monkeypatch.setattr("rag_rerankers.plaid.kernels._AT_ONCE", 1)
    assert filter_pids(*given).tolist() == whole.tolist()


def test_no_candidates() -> None:
    index = made(0)
    near = torch.ones(12, dtype=torch.bool)
    assert filter_pids(torch.zeros(0, dtype=torch.int32), *index[:4], near, 8).tolist() == []
    assert (
        places(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)).tolist() == []
    )


@pytest.mark.parametrize("nbits", [1, 2, 4])
def test_vectors_are_those_of_the_loop(nbits: int) -> None:
    index = made(3, nbits=nbits)
    pids = torch.tensor([7, 0, 39, 7]).int()
    found = decompress_residuals(pids, index.doclens, index.offsets, *_rest(index))
    torch.testing.assert_close(found, torch.tensor(decompressed_by_loop(pids.tolist(), index)))


def _rest(index: Index) -> tuple[torch.Tensor, ...]:
    return (
        index.weights,
        index.reversed_bits,
        index.combinations,
        index.residuals,
        index.codes,
        index.centroids,
    )


@pytest.mark.parametrize("shape", [(20,), (20, 3)])
def test_runs_are_those_of_the_loop(shape: tuple[int, ...]) -> None:
    packed = torch.arange(20 * len(shape) ** 2).reshape(20, -1)[:, : shape[-1]].reshape(-1)[:20]
    packed = packed if len(shape) == 1 else packed[:, None].expand(shape)
    lengths, offsets = torch.tensor([3, 0, 5, 1]), torch.tensor([4, 9, 15, 0])
    rows = [
        packed[offset + step].tolist()
        for offset, length in zip(offsets.tolist(), lengths.tolist(), strict=True)
        for step in range(length)
    ]
    assert segmented_lookup(packed, lengths, offsets).tolist() == rows


# --- colbert-ai's own C++, where somebody had it compiled ---


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [-2.0, 0.7, 2.0])
def test_candidates_are_those_of_the_compiled_code(seed: int, threshold: float) -> None:
    theirs = compiled("filter_pids_cpp")
    index = made(seed, n_passages=400)
    near = index.centroid_scores.max(-1).values >= threshold
    given = (torch.arange(400).int(), *index[:4], near, 128)
    assert filter_pids(*given).tolist() == theirs(*given).tolist()


@pytest.mark.parametrize("nbits", [1, 2, 4])
def test_vectors_are_those_of_the_compiled_code(nbits: int) -> None:
    theirs = compiled("decompress_residuals_cpp")
    index = made(5, nbits=nbits)
    pids = torch.tensor([7, 0, 39, 7]).int()
    ours = decompress_residuals(pids, index.doclens, index.offsets, *_rest(index))
    expected = theirs(pids, index.doclens, index.offsets, *_rest(index), index.dim, nbits)
    assert torch.equal(ours, expected)


def test_runs_are_those_of_the_compiled_code() -> None:
    theirs = compiled("segmented_lookup_cpp")
    packed = torch.arange(60).reshape(20, 3).int()
    lengths, offsets = torch.tensor([3, 0, 5, 1]), torch.tensor([4, 9, 15, 0])
    expected = theirs(packed, torch.arange(4), lengths, offsets)
    assert torch.equal(segmented_lookup(packed, lengths, offsets), expected)


def test_scores_are_those_of_the_compiled_code_where_no_maximum_is_negative() -> None:
    from rag_rerankers.scorers.maxsim import maxsim

    theirs = compiled("segmented_maxsim_cpp")
    scores = torch.rand(30, 8, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([4, 1, 10, 15])
    ours = maxsim(torch.eye(8), scores, lengths.tolist())
    assert ours.tolist() == pytest.approx(theirs(scores, lengths).tolist())
