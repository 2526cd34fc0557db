"""Vectors that are made small, against the formulas worked out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rag_rerankers.store import codecs
from rag_rerankers.store.codecs import Float16Codec, Int8Codec, make_codec


def unit_vectors(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=1)


def records_of(codec, vectors: torch.Tensor) -> torch.Tensor:
    made = codec.compress(vectors)
    assert len(made) == len(vectors) * codec.record
    return torch.frombuffer(bytearray(made), dtype=torch.uint8).view(len(vectors), -1)


def test_int8_by_hand():
    # The largest number gets 126.9 levels. 0.635 / 126.9 = 0.0050039 is 0.0050048828125 in half
    # precision (10 bits behind the point, steps of 2**-18); 0.635 / that = 126.88 -> 127;
    # -0.25 -> -49.95 -> -50; 0.0024 -> 0.48 -> 0.
    codec = Int8Codec(3)
    made = codec.compress(torch.tensor([[0.635, -0.25, 0.0024]]))
    scale = np.float16(0.635 / 126.9)
    assert float(scale) == 0.0050048828125
    assert made == np.array([127, -50, 0], "i1").tobytes() + scale.tobytes()
    back = codec.decompress(torch.frombuffer(bytearray(made), dtype=torch.uint8).view(1, 5))
    np.testing.assert_allclose(back, [[127 * float(scale), -50 * float(scale), 0]], rtol=1e-6)


def test_int8_is_wrong_by_half_a_level_at_most():
    vectors = unit_vectors(500, 24)
    codec = Int8Codec(24)
    back = codec.decompress(records_of(codec, vectors))
    level = vectors.abs().amax(1, keepdim=True) / 126.9 * (1 + 2**-11)
    assert ((vectors - back).abs() <= level / 2 + 1e-7).all()
    assert ((vectors - back).abs() > level / 4).any()


def test_int8_survives_zeros_and_large_numbers():
    codec = Int8Codec(4)
    vectors = torch.tensor([[0.0, 0, 0, 0], [3000.0, -7, 0, 1e-9], [1e-9, 0, 0, 0]])
    back = codec.decompress(records_of(codec, vectors))
    assert back[0].tolist() == [0, 0, 0, 0]
    assert back[1, 0] == pytest.approx(3000, rel=0.004)
    assert back.isfinite().all()


def test_not_a_number_stays_one():
    vectors = torch.tensor([[float("nan"), 0.5]])
    for codec in (Int8Codec(2), Float16Codec(2)):
        similarity = codec.similarity(torch.ones(1, 2), records_of(codec, vectors))
        assert similarity.isnan().all()


def test_float16_is_half_precision():
    vectors = unit_vectors(50, 6)
    codec = Float16Codec(6)
    assert codec.compress(vectors) == vectors.numpy().astype("<f2").tobytes()
    back = codec.decompress(records_of(codec, vectors))
    np.testing.assert_array_equal(back, vectors.numpy().astype("f2").astype("f4"))


@pytest.mark.parametrize("name", ["int8", "float16"])
@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_similarity_is_the_product_with_what_comes_back(monkeypatch, name, block):
    monkeypatch.setattr(codecs, "_BLOCK", block * 16)
    codec = make_codec(name, 16)
    records = records_of(codec, unit_vectors(23, 16))
    query = unit_vectors(5, 16, seed=1)
    expected = query.numpy() @ codec.decompress(records).numpy().T
    np.testing.assert_allclose(codec.similarity(query, records), expected, atol=1e-6)
    assert codec.similarity(query, records[:0]).shape == (5, 0)
