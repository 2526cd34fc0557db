from __future__ import annotations

import logging

import pytest
import torch
from tests.kinds import CROSS_ENCODERS, KINDS
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers import __version__ as transformers_version

from rag_rerankers.engine import encoder, probe, runners
from rag_rerankers.engine.attention import PACKED_ATTENTION
from rag_rerankers.engine.probe import choose_runner
from rag_rerankers.engine.runners import PackedRunner, PaddedRunner

REPLACEABLE = int(transformers_version.split(".")[0]) >= 5
needs_packing = pytest.mark.skipif(
    not REPLACEABLE, reason="transformers 4 does not let these models' attention be replaced"
)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_model_runs_packed_wherever_its_code_allows_it(kind, loader):
    engine = loader(kind).engine
    assert engine.packed is (kind.packs and (REPLACEABLE or kind.fused))
    assert (engine.packed and engine._runner.encoder is not None) is kind.fused


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    # The large random weights of the ModernBERTs multiply bfloat16's own rounding.
    "kind",
    [kind for kind in KINDS if kind.packs and "modernbert" not in kind.name],
    ids=str,
)
def test_half_precision_does_not_look_like_a_mistake(kind, dtype, loader):
    assert loader(kind, dtype=dtype).engine.packed is (REPLACEABLE or kind.fused)


def load(make, maker="bert_reranker", auto_class=AutoModelForSequenceClassification):
    return auto_class.from_pretrained(
        make(maker), local_files_only=True, dtype=torch.float32
    ).eval()


@pytest.mark.parametrize("kind", [k for k in CROSS_ENCODERS if not k.packs], ids=str)
def test_a_model_that_cannot_run_packed_keeps_its_own_attention(make, kind, caplog):
    model = load(make, kind.maker)
    before = model.config._attn_implementation
    with caplog.at_level(logging.INFO, "rag_rerankers"):
        assert isinstance(choose_runner(model, 0, with_logits=True), PaddedRunner)
    assert model.config._attn_implementation == before != PACKED_ATTENTION
    assert "runs padded" in caplog.text


def across_sequences(module, query, key, value, mask, **_):
    """Attention over the whole row: what a model does that ignores the layout."""
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    return out.transpose(1, 2), None


def not_a_number(module, query, key, value, mask, **_):
    return torch.full_like(query.transpose(1, 2), torch.nan), None


def raising(module, query, key, value, mask, **_):
    raise RuntimeError("no kernel for this")


BROKEN = pytest.mark.parametrize("attention", [across_sequences, not_a_number, raising])


@BROKEN
@pytest.mark.parametrize("with_logits", [True, False], ids=["logits", "hidden states"])
@needs_packing
def test_packing_that_changes_the_numbers_is_not_used(make, monkeypatch, attention, with_logits):
    from transformers import AttentionInterface

    monkeypatch.setitem(AttentionInterface._global_mapping, PACKED_ATTENTION, attention)
    auto_class = AutoModelForSequenceClassification if with_logits else AutoModel
    maker = "modernbert_reranker" if with_logits else "modernbert_encoder"
    model = load(make, maker, auto_class)
    before = model.config._attn_implementation
    assert isinstance(choose_runner(model, 1, with_logits=with_logits), PaddedRunner)
    assert model.config._attn_implementation == before


def fused(attention):
    """The same mistakes in the layers that are run for a model."""

    def attend(query, key, value, **_):
        row = (states.transpose(0, 1)[None] for states in (query, key, value))
        return attention(None, *row, None)[0][0]

    return attend


@BROKEN
@pytest.mark.parametrize("with_logits", [True, False], ids=["logits", "hidden states"])
def test_layers_that_change_the_numbers_are_not_used(make, monkeypatch, attention, with_logits):
    """Their model then runs its own layers: packed where that can be, else padded."""
    monkeypatch.setattr(encoder, "attend", fused(attention))
    auto_class = AutoModelForSequenceClassification if with_logits else AutoModel
    model = load(make, "bert_reranker" if with_logits else "bert_encoder", auto_class)
    runner = choose_runner(model, 0, with_logits=with_logits)
    assert isinstance(runner, PackedRunner if REPLACEABLE else PaddedRunner)
    assert getattr(runner, "encoder", None) is None


def test_an_activation_that_is_taken_for_another_is_noticed(make, monkeypatch):
    monkeypatch.setattr(encoder, "_gelu_in_place", torch.relu_)
    runner = choose_runner(load(make), 0, with_logits=True)
    assert getattr(runner, "encoder", None) is None


@pytest.mark.parametrize("maker", ["xlmr_reranker", "roberta_reranker"])
def test_a_position_that_is_off_by_one_is_noticed(make, monkeypatch, maker):
    monkeypatch.setattr(runners, "first_position", lambda model: 1)
    assert isinstance(choose_runner(load(make, maker), 1, with_logits=True), PaddedRunner)


@needs_packing
def test_a_forgotten_sliding_window_is_noticed(make, monkeypatch):
    from transformers import AttentionInterface

    from rag_rerankers.engine.attention import packed_attention

    def no_window(*states, sliding_window=None, **settings):
        return packed_attention(*states, **settings)

    monkeypatch.setitem(AttentionInterface._global_mapping, PACKED_ATTENTION, no_window)
    model = load(make, "modernbert_encoder", AutoModel)
    assert isinstance(choose_runner(model, 1, with_logits=False), PaddedRunner)


@needs_packing
def test_the_head_is_found_by_its_numbers(make, monkeypatch):
    """ModernBERT's two poolings fit in shape: only the numbers tell them apart."""
    model = load(make, "modernbert_reranker")
    runner = choose_runner(model, 1, with_logits=True)
    assert isinstance(runner, PackedRunner)
    monkeypatch.setattr(probe, "HEADS", probe.HEADS[:-1])
    assert isinstance(choose_runner(load(make, "modernbert_reranker"), 1, with_logits=True),
                      PaddedRunner)  # fmt: skip


@pytest.mark.parametrize("kind", [k for k in CROSS_ENCODERS if not k.packs], ids=str)
def test_padding_that_changes_nothing_is_used(kind, loader):
    assert loader(kind).engine._runner.equal_lengths is False


def test_padding_that_changes_the_numbers_is_not_used(make):
    """Such as convolutions, or a model that takes no attention mask at all."""
    model = load(make, "distilbert_reranker")
    plain = model.forward

    def leaking(input_ids=None, attention_mask=None, **settings):
        return plain(input_ids=input_ids, **settings)

    model.forward = leaking
    runner = choose_runner(model, 0, with_logits=True)
    assert isinstance(runner, PaddedRunner)
    assert runner.equal_lengths


def test_running_out_of_memory_is_no_reason_to_run_padded(make, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(PackedRunner, "logits", full)
    with pytest.raises(torch.OutOfMemoryError):
        choose_runner(load(make), 0, with_logits=True)
