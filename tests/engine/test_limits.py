from __future__ import annotations

import pytest
from transformers import AutoModel, AutoModelForSequenceClassification

from rag_rerankers.engine.limits import checked_max_length, position_capacity


@pytest.mark.parametrize(
    ("auto_class", "maker", "capacity"),
    [
        (AutoModelForSequenceClassification, "xlmr_reranker", 512),  # 514 positions, from 2 on
        (AutoModelForSequenceClassification, "roberta_reranker", 512),
        (AutoModelForSequenceClassification, "mpnet_reranker", 512),
        (AutoModelForSequenceClassification, "bert_reranker", 512),
        (AutoModelForSequenceClassification, "distilbert_reranker", 512),
        (AutoModelForSequenceClassification, "modernbert_reranker", 1024),
        (AutoModel, "bert_encoder", 512),
    ],
)
def test_a_model_holds_as_many_tokens_as_it_has_positions(make, auto_class, maker, capacity):
    model = auto_class.from_pretrained(make(maker), local_files_only=True)
    assert position_capacity(model) == capacity


@pytest.mark.parametrize("positions", [-1, 0])
def test_a_model_without_positions_has_no_limit(make, positions):
    model = AutoModel.from_pretrained(make("bert_encoder"), local_files_only=True)
    model.config.max_position_embeddings = positions
    assert position_capacity(model) is None


@pytest.mark.parametrize(
    ("asked", "default", "limit", "expected"),
    [
        (None, 512, 8192, 512),
        (None, 512, 300, 300),
        (None, 512, None, 512),
        (1000, 512, 8192, 1000),
        (8192, 512, 8192, 8192),
        (9999, 512, None, 9999),
        (16, 512, 8192, 16),
    ],
)
def test_the_length_is_what_was_asked_or_what_fits(asked, default, limit, expected):
    assert checked_max_length(asked, default, limit) == expected


def test_more_than_the_model_can_read_is_refused_with_both_numbers_and_the_way_out():
    with pytest.raises(ValueError, match="max_length 513 is more than the 512") as caught:
        checked_max_length(513, 512, 512)
    assert "max_passage" in str(caught.value)
