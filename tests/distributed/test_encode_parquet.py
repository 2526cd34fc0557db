"""On a local Ray with two workers; what does not need one is in test_vectors."""

from __future__ import annotations

import numpy as np
import pytest
from tests.distributed.conftest import read
from tests.local_ray import needs_ray
from tests.oracles import colbert

from rag_rerankers import ModelOptions
from rag_rerankers.distributed import encode_parquet

needs_ray()
pytestmark = [pytest.mark.enable_socket, pytest.mark.usefixtures("cluster")]

FLOAT32 = ModelOptions(device="cpu", dtype="float32")


def test_vectors_are_those_of_the_reference(pairs, tmp_path, make):
    folder = make("stanford_colbert")
    report = encode_parquet(
        pairs, tmp_path / "out", model=folder, options=FLOAT32, dtype="float32", part_rows=40
    )
    found = read(tmp_path / "out")
    assert [row["id"] for row in found] == list(range(100))
    assert (report.rows, report.failed, report.parts) == (100, 0, 3)
    reference = colbert.Reference(folder)
    for row in found[:20]:
        expected = reference.document_vectors(row["text"]).numpy()
        np.testing.assert_allclose(np.array(row["vectors"]), expected, atol=1e-4)
    assert all(row["passages"] == [len(row["vectors"])] for row in found)


def test_a_model_without_vectors_of_texts_is_refused(pairs, tmp_path, make):
    with pytest.raises(ValueError, match="has no vectors of texts"):
        encode_parquet(
            pairs, tmp_path / "out", model=make("bert_reranker"), options=FLOAT32, workers=1
        )
