"""ColBERTv2's compression: by hand, and beside colbert-ai where it is installed."""

from __future__ import annotations

import importlib.util
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save
from tests.store.test_codecs import records_of, unit_vectors

from rag_rerankers import MissingExtraError, StoreError
from rag_rerankers.store.residual import ResidualCodec, learn

HAS_COLBERT = all(importlib.util.find_spec(name) for name in ("colbert", "faiss"))
needs_colbert = pytest.mark.skipif(not HAS_COLBERT, reason="needs colbert-ai (extra plaid)")


def learned(dim: int, bits: int, n_centroids: int = 4, seed: int = 0) -> bytes:
    steps = torch.linspace(-0.3, 0.3, 1 << bits)
    return save(
        {
            "centroids": unit_vectors(n_centroids, dim, seed).half(),
            "cutoffs": (steps[1:] + steps[:-1]) / 2,
            "weights": steps,
        }
    )


def test_a_record_by_hand():
    # Two bits a number, the lowest first: 0b10_01_11_00 is 1, 2, 3, 0.
    weights = torch.tensor([-0.3, -0.1, 0.1, 0.3])
    made = save(
        {
            "centroids": torch.tensor([[0.0] * 16, [0.5] * 16]).half(),
            "cutoffs": torch.tensor([-0.2, 0.0, 0.2]),
            "weights": weights,
        }
    )
    codec = ResidualCodec(16, 2, made)
    assert codec.record == 4 + 4
    record = (1).to_bytes(4, "little") + bytes([0b10011100, 0, 0xFF, 0b01010101])
    (vector,) = codec.decompress(torch.frombuffer(bytearray(record), dtype=torch.uint8)[None])
    steps = [-0.1, 0.1, 0.3, -0.3] + [-0.3] * 4 + [0.3] * 4 + [0.1] * 4
    expected = np.array([0.5 + step for step in steps])
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), rtol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("rows", [1, 7, 3000])
def test_similarity_is_the_product_with_what_comes_back(bits, rows):
    codec = ResidualCodec(32, bits, learned(32, bits))
    chance = np.random.default_rng(rows)
    numbers = chance.integers(0, 4, (rows, 1), dtype="<i4").view("u1")
    steps = chance.integers(0, 256, (rows, codec.record - 4), dtype="u1")
    records = torch.from_numpy(np.concatenate([numbers, steps], 1))
    query = unit_vectors(5, 32, seed=1)
    expected = query.numpy() @ codec.decompress(records).numpy().T
    np.testing.assert_allclose(codec.similarity(query, records), expected, atol=1e-6)


@pytest.mark.parametrize(("dim", "bits"), [(20, 1), (24, 2), (48, 4)])
def test_vectors_that_do_not_fill_bytes_are_refused(dim, bits):
    with pytest.raises(ValueError, match=f"multiple of {8 * bits} numbers.*have {dim}"):
        ResidualCodec(dim, bits, learned(dim, bits))


def test_what_was_learned_must_fit():
    with pytest.raises(StoreError, match="has learned is damaged"):
        ResidualCodec(32, 2, b"something")
    with pytest.raises(StoreError, match="for 16 numbers and 4 steps, not for 32 and 4"):
        ResidualCodec(32, 2, learned(16, 2))
    with pytest.raises(StoreError, match="for 32 numbers and 2 steps, not for 32 and 4"):
        ResidualCodec(32, 2, learned(32, 1))


@pytest.mark.skipif(HAS_COLBERT, reason="colbert-ai is installed")
def test_without_colbert_the_extra_is_named():
    with pytest.raises(MissingExtraError, match=r"rag-rerankers\[plaid\]"):
        learn(unit_vectors(100, 16), 2)


# --- beside colbert-ai ---


@needs_colbert
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_vectors_come_back_as_from_colbert_ai(bits):
    from rag_rerankers.plaid.colbert_ai import load

    vectors = unit_vectors(4000, 32)
    made = learn(vectors, bits)
    codec = ResidualCodec(32, bits, made)
    config = SimpleNamespace(total_visible_gpus=0, dim=32, nbits=bits, rank=0)
    theirs = load().residual_codec(
        config, codec._centroids, bucket_cutoffs=codec._cutoffs, bucket_weights=codec._weights
    )
    expected = theirs.decompress(theirs.compress(vectors))
    found = codec.decompress(records_of(codec, vectors))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@needs_colbert
def test_more_bits_lose_less():
    vectors = unit_vectors(4000, 32)
    similarity = []
    for bits in (1, 2, 4):
        codec = ResidualCodec(32, bits, learn(vectors, bits))
        back = codec.decompress(records_of(codec, vectors))
        similarity.append(float((back * vectors).sum(1).mean()))
    assert all(less < more for less, more in itertools.pairwise(similarity))
    assert similarity[-1] > 0.98


@needs_colbert
@pytest.mark.parametrize("n", [1, 2, 40])
def test_it_learns_from_few_vectors(n):
    vectors = unit_vectors(n, 16)
    codec = ResidualCodec(16, 2, learn(vectors, 2))
    assert codec.decompress(records_of(codec, vectors)).isfinite().all()


@needs_colbert
def test_the_same_vectors_teach_the_same():
    assert learn(unit_vectors(500, 16), 2) == learn(unit_vectors(500, 16), 2)
