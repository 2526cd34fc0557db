"""What becomes of a model's weights: joined, laid out, rounded, released."""

from __future__ import annotations

import gc

import pytest
import torch
from tests.engine.families import built, loaded
from torch.multiprocessing.reductions import StorageWeakRef

from rag_rerankers.engine import encoder as encoder_module
from rag_rerankers.engine.attention import PackedLayout
from rag_rerankers.engine.encoder import FusedEncoder
from rag_rerankers.engine.float_blocks import FloatBlockLinear, float_blocks
from rag_rerankers.engine.layer import FloatBlockWork, TorchWork
from rag_rerankers.engine.linear import FloatLinear, PackedLinear
from rag_rerankers.engine.probe import choose_runner
from rag_rerankers.engine.runners import PackedRunner

CPU = torch.device("cpu")


def attention_weights(model):
    for layer in model.base_model.encoder.layer:
        attention = layer.attention.self
        yield [attention.query.weight, attention.key.weight, attention.value.weight]


def test_the_weights_of_query_key_and_value_are_views_of_one_tensor():
    model = built("bert")
    before = [[part.clone() for part in parts] for parts in attention_weights(model)]
    encoder = FusedEncoder(model)
    layers = [*encoder._layers, encoder._last]
    for parts, were, layer in zip(attention_weights(model), before, layers, strict=True):
        joined = (layer.query or layer.rest).weight
        n_bytes = 32 * 32 * 4
        starts = [joined.data_ptr() + n * n_bytes for n in range(3)]
        assert [part.data_ptr() for part in parts] == starts
        assert all(torch.equal(part, was) for part, was in zip(parts, were, strict=True))
    first, one = model.encoder.layer[0], encoder._layers[0]
    for mine, theirs in [(one.attended, first.attention.output.dense),
                         (one.widen, first.intermediate.dense),
                         (one.narrow, first.output.dense)]:  # fmt: skip
        assert mine.weight.data_ptr() == theirs.weight.data_ptr()


def test_int8_leaves_the_models_weights_alone_until_they_are_released():
    model = built("bert")
    before = [part.data_ptr() for parts in attention_weights(model) for part in parts]
    FusedEncoder(model, int8=True)
    after = [part.data_ptr() for parts in attention_weights(model) for part in parts]
    assert after == before


@pytest.mark.parametrize("inner", [48, 64])
def test_release_frees_the_layers_and_int8_goes_on(inner):
    model = built("bert", intermediate_size=inner)
    layers = list(model.encoder.parameters())
    stored = [StorageWeakRef(parameter.untyped_storage()) for parameter in layers]
    matrices = [one for one, parameter in zip(stored, layers, strict=True) if parameter.dim() == 2]
    kept = [parameter.numel() for parameter in model.embeddings.parameters()]
    encoder = FusedEncoder(model, int8=True)
    layout = PackedLayout.of([5, 3], [5, 3], CPU)
    inputs = {"input_ids": torch.arange(8)[None], "position_ids": torch.arange(8)[None]}
    expected = encoder(layout, **inputs)
    encoder.release()
    assert torch.equal(encoder(layout, **inputs), expected)
    assert all(parameter.numel() == 0 for parameter in layers)
    assert [parameter.numel() for parameter in model.embeddings.parameters()] == kept
    gc.collect()
    assert len(matrices) == 3 * 6
    assert all(one.expired() for one in matrices), "somebody still holds float weights"


@pytest.fixture(params=[FloatBlockLinear, PackedLinear])
def packed_kind(request, monkeypatch) -> type:
    """What products of a model whose inner width is 64 are made to become."""
    if request.param is FloatBlockLinear:
        if float_blocks(32, 64, torch.float32) is None:
            pytest.skip("needs the extra 'cpu' and an x86 CPU with AVX2")
    else:
        monkeypatch.setattr(encoder_module, "float_blocks", lambda *_: None)
        monkeypatch.setattr(encoder_module, "packing_pays", lambda dtype: dtype == torch.float32)
    return request.param


def kinds_of(encoder: FusedEncoder) -> set[type]:
    layers = [*encoder._layers, encoder._last]
    names = ("query", "rest", "attended", "widen", "narrow")
    parts = [getattr(layer, name) for layer in layers for name in names]
    return {type(part) for part in parts if part is not None}


def packed_states(encoder: FusedEncoder) -> tuple[torch.Tensor, ...]:
    layout = PackedLayout.of([5, 3], [5, 3], CPU)
    inputs = {"input_ids": torch.arange(8)[None], "position_ids": torch.arange(8)[None]}
    with torch.inference_mode():
        return encoder(layout, **inputs), encoder(layout, firsts=True, **inputs)


def test_packing_frees_the_layers_and_gives_the_same(packed_kind):
    model = built("bert", intermediate_size=64)
    layers = list(model.encoder.parameters())
    stored = [StorageWeakRef(one.untyped_storage()) for one in layers if one.dim() == 2]
    encoder = FusedEncoder(model)
    expected = packed_states(encoder)
    encoder.pack()
    torch.testing.assert_close(packed_states(encoder), expected, atol=1e-6, rtol=1e-5)
    assert all(parameter.numel() == 0 for parameter in layers)
    assert kinds_of(encoder) == {packed_kind}
    gc.collect()
    assert len(stored) == 3 * 6
    assert all(one.expired() for one in stored), "somebody still holds the weights"


@pytest.mark.skipif(
    float_blocks(32, 64, torch.bfloat16) is None,
    reason="needs the extra 'cpu' and an x86 CPU that does not multiply bfloat16 faster",
)
def test_weights_in_bfloat16_are_multiplied_with_float32():
    model = built("bert", intermediate_size=64).bfloat16()
    encoder = FusedEncoder(model)
    plain = packed_states(encoder)
    encoder.pack()
    assert type(encoder._work) is FloatBlockWork
    found = packed_states(encoder)
    assert [states.dtype for states in found] == [torch.bfloat16] * 2
    # The same weights in float32: what is rounded more is the embeddings and the result.
    exact = built("bert", intermediate_size=64).bfloat16().float()
    expected = packed_states(FusedEncoder(exact))

    def off(states: tuple[torch.Tensor, ...]) -> float:
        one, other = torch.cat(states).float(), torch.cat(expected)
        return float((one - other).norm() / other.norm())

    assert off(found) < 5e-3
    assert off(found) < 0.7 * off(plain)


@pytest.mark.parametrize(
    "settings", [{"hidden_act": "relu"}, {"hidden_act": "gelu_new"}, {"intermediate_size": 36}]
)
def test_float_layers_that_machine_code_does_not_know(settings, monkeypatch):
    monkeypatch.setattr(encoder_module, "packing_pays", lambda dtype: False)
    encoder = FusedEncoder(built("bert", **{"intermediate_size": 64, **settings}))
    encoder.pack()
    assert type(encoder._work) is TorchWork
    assert kinds_of(encoder) == {FloatLinear}


@pytest.mark.parametrize("pays", [True, False])
@pytest.mark.parametrize("with_logits", [True, False], ids=["logits", "hidden states"])
def test_float_weights_are_laid_out_where_it_pays(make, monkeypatch, pays, with_logits):
    monkeypatch.setattr(encoder_module, "float_blocks", lambda *_: None)
    monkeypatch.setattr(
        encoder_module, "packing_pays", lambda dtype: pays and dtype == torch.float32
    )
    runner = choose_runner(loaded(make, "bert_reranker"), 0, with_logits=with_logits)
    assert isinstance(runner, PackedRunner)
    assert type(runner.encoder._last.rest) is (PackedLinear if pays else FloatLinear)


@pytest.mark.parametrize("with_logits", [True, False], ids=["logits", "hidden states"])
def test_a_model_in_int8_keeps_no_float_weights_of_its_layers(make, monkeypatch, with_logits):
    stored = []

    class Recorded(FloatLinear):
        def __init__(self, weight, *rest) -> None:
            stored.append(StorageWeakRef(weight.untyped_storage()))
            super().__init__(weight, *rest)

    monkeypatch.setattr(encoder_module, "FloatLinear", Recorded)
    model = loaded(make, "bert_reranker")
    runner = choose_runner(model, 0, with_logits=with_logits, int8=True)
    assert isinstance(runner, PackedRunner)
    gc.collect()
    assert len(stored) == 2 * 4 + 1, "layers with four products, the last one's queries apart"
    assert all(one.expired() for one in stored)
