"""What a worker does with a table of texts, without Ray."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles import colbert

from rag_rerankers import Reranker
from rag_rerankers.distributed.vectors import TextEncoder, VectorColumns

pa = pytest.importorskip("pyarrow", reason="needs the extra 'ray'")

COLUMNS = VectorColumns("text", "vectors", "passages", "error")


def encoded(reranker, texts, dtype="float32"):
    table = pa.table({"text": pa.array(texts, pa.string())})
    return TextEncoder(reranker.scorer.encoder, COLUMNS, dtype, 3)(table)


@pytest.fixture(scope="module")
def folder(make):
    return make("stanford_colbert")


@pytest.fixture(scope="module")
def reranker(folder):
    return Reranker(folder, device="cpu", dtype="float32")


def test_vectors_read_back_as_arrow_shows_them(reranker, folder):
    texts = ["a bear", "the giant panda lives in China", "", "grass", "a city"]
    table, tally = encoded(reranker, texts)
    reference = colbert.Reference(folder)
    dim = len(reference.linear)
    assert table.schema.field("vectors").type == pa.list_(pa.list_(pa.float32(), dim))
    for text, cell in zip(texts, table["vectors"], strict=True):
        flat = cell.values.flatten().to_numpy().reshape(-1, dim)
        np.testing.assert_allclose(flat, reference.document_vectors(text), atol=1e-4)
    assert (tally.rows, tally.texts, tally.failed) == (5, 5, 0)
    assert tally.tokens > 0


def test_float16_is_the_same_rounded_and_survives_parquet(reranker, tmp_path):
    from pyarrow import parquet

    table, _ = encoded(reranker, ["a bear", None, "grass"], "float16")
    parquet.write_table(table, tmp_path / "a.parquet")
    back = parquet.read_table(tmp_path / "a.parquet")
    full, _ = encoded(reranker, ["a bear", None, "grass"])
    for half, single in zip(back["vectors"], full["vectors"], strict=True):
        if single.as_py() is None:
            assert half.as_py() is None
            continue
        exact = single.values.flatten().to_numpy()
        rounded = half.values.flatten().to_numpy()
        assert rounded.dtype == np.float16
        np.testing.assert_array_equal(rounded, exact.astype(np.float16))


def test_a_row_without_a_text_has_an_error_and_no_vectors(reranker):
    table, tally = encoded(reranker, [None, "a bear"])
    assert table["vectors"].is_null().to_pylist() == [True, False]
    assert table["passages"].to_pylist()[0] is None
    assert table["error"].to_pylist() == ["the text is missing (null)", None]
    assert (tally.texts, tally.failed) == (2, 1)


def test_only_failures_make_a_column_of_the_same_type(reranker):
    none, _ = encoded(reranker, [None, None])
    some, _ = encoded(reranker, ["a bear"])
    assert none.schema.equals(some.schema)


def test_windows_of_a_long_text_are_told_apart(folder):
    reranker = Reranker(
        folder, device="cpu", dtype="float32", max_length=16, long_documents="max_passage"
    )
    text = "the giant panda is a bear " * 6
    table, _ = encoded(reranker, [text, "bear"])
    (long, short), lengths = table["passages"].to_pylist(), []
    assert len(long) > 1
    assert len(short) == 1
    assert sum(long) == len(table["vectors"][0])
    query = reranker.scorer.encoder.query("a bear").vectors
    vectors = torch.tensor(np.array(table["vectors"][0].as_py(), dtype=np.float32))
    lengths = [(query @ part.T).max(dim=1).values.sum().item() for part in vectors.split(long)]
    assert max(lengths) == pytest.approx(reranker.scorer.score("a bear", [text])[0], abs=1e-4)


def test_a_text_whose_vectors_are_not_numbers_fails_alone(reranker, monkeypatch):
    encoder = reranker.scorer.encoder
    start = type(encoder).start

    def poisoned(self, texts, use):
        passages, job = start(self, texts, use)
        if "poison" not in texts:
            return passages, job
        return passages, Poisoned(job, texts.index("poison"))

    monkeypatch.setattr(type(encoder), "start", poisoned)
    table, tally = encoded(reranker, ["a bear", "poison", "grass", "a city"])
    assert table["vectors"].is_null().to_pylist() == [False, True, False, False]
    assert "not finite" in table["error"].to_pylist()[1]
    assert tally.failed == 1


class Poisoned:
    """A job in which one text comes out as NaN."""

    def __init__(self, job, bad):
        self.job, self.bad = job, bad

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.job.close()

    def __iter__(self):
        for indices, (flat, lengths) in self.job:
            parts = np.split(flat.copy(), np.cumsum(lengths)[:-1])
            for index, part in zip(indices, parts, strict=True):
                if index == self.bad:
                    part[:] = np.nan
            yield indices, (np.concatenate(parts), lengths)
