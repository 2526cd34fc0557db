"""The layers that are run for models of BERT's family, against the models' own code."""

from __future__ import annotations

import gc

import pytest
import torch
import transformers
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import AutoModel, AutoModelForSequenceClassification

from rag_rerankers.engine import encoder as encoder_module
from rag_rerankers.engine import layer as layer_module
from rag_rerankers.engine.attention import PackedLayout
from rag_rerankers.engine.encoder import FusedEncoder
from rag_rerankers.engine.float_blocks import FloatBlockLinear, float_blocks
from rag_rerankers.engine.int8_blocks import int8_blocks
from rag_rerankers.engine.layer import FloatBlockWork, Int8BlockWork, Int8Work, TorchWork
from rag_rerankers.engine.linear import FloatLinear, PackedLinear
from rag_rerankers.engine.probe import choose_runner
from rag_rerankers.engine.runners import PackedRunner, PaddedRunner
from rag_rerankers.tokenization import TokenSequence

CPU = torch.device("cpu")
SIZES = {
    "vocab_size": 90,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 70,
}
FAMILY = {
    "bert": {"type_vocab_size": 2, "pad_token_id": 0},
    "roberta": {"type_vocab_size": 1, "pad_token_id": 1},
    "xlm-roberta": {"type_vocab_size": 1, "pad_token_id": 1},
    "camembert": {"type_vocab_size": 1, "pad_token_id": 1},
    "electra": {"type_vocab_size": 2, "pad_token_id": 0, "embedding_size": 32},
}
OTHERS = ["distilbert_reranker", "mpnet_reranker", "deberta_reranker", "modernbert_reranker",
          "electra_reranker"]  # fmt: skip
"""The last has embeddings narrower than its layers."""


def built(model_type: str, **settings):
    """A model with weights so large that any mistake shows."""
    config = transformers.AutoConfig.for_model(
        model_type, **{**SIZES, **FAMILY.get(model_type, {}), **settings}
    )
    config._attn_implementation = "eager"
    torch.manual_seed(3)
    model = AutoModel.from_config(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "LayerNorm.weight" not in name:
            parameter.normal_(std=0.3)
    return model


def loaded(make, maker: str):
    model = AutoModelForSequenceClassification.from_pretrained(
        make(maker), local_files_only=True, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval().requires_grad_(False)


def rows(pad: int, types: int) -> list[TokenSequence]:
    """Equal lengths, one token, the padding token spelled out, not all attended."""
    generator = torch.Generator().manual_seed(5)

    def row(length: int, attended: int | None = None) -> TokenSequence:
        ids = torch.randint(5, 90, (length,), generator=generator).tolist()
        type_ids = [int(types > 1 and n > length // 2) for n in range(length)]
        return TokenSequence(ids, type_ids, attended)

    spelled = row(9)
    spelled = spelled._replace(ids=[pad, *spelled.ids[:3], pad, pad, *spelled.ids[3:5], pad])
    return [row(40), row(9), spelled, row(9, 6), row(9, 1), row(1), row(17, 16)]


def own(model, row: TokenSequence) -> torch.Tensor:
    """One sequence alone through the model's own code."""
    mask = torch.zeros(1, len(row.ids), dtype=torch.long)
    mask[0, : row.n_attended] = 1
    inputs = {"input_ids": torch.tensor([row.ids]), "attention_mask": mask}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = torch.tensor([row.type_ids])
    return model.base_model(**inputs).last_hidden_state[0]


def check(model, tolerance: float = 1e-5) -> None:
    batch = rows(model.config.pad_token_id, getattr(model.config, "type_vocab_size", 0))
    with torch.inference_mode():
        expected = torch.cat([own(model, row) for row in batch])
        found = PackedRunner(model, encoder=FusedEncoder(model)).hidden(batch)
        again = torch.cat([own(model, row) for row in batch])
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(again, expected, atol=tolerance, rtol=0)


# --- the same numbers ---


@pytest.mark.parametrize("model_type", FAMILY)
def test_hidden_states_are_the_models_own(model_type):
    check(built(model_type))


@pytest.mark.parametrize("maker", ["bert_reranker", "roberta_reranker", "xlmr_reranker"])
def test_hidden_states_of_checkpoints_are_the_models_own(make, maker):
    check(loaded(make, maker))


@pytest.mark.parametrize("activation", ["relu", "gelu_new", "gelu_pytorch_tanh", "silu"])
def test_other_activations_are_those_of_the_model(activation):
    check(built("bert", hidden_act=activation))


def test_a_function_as_the_activation_is_called():
    model = built("bert")
    for layer in model.encoder.layer:
        del layer.intermediate.intermediate_act_fn
        layer.intermediate.intermediate_act_fn = torch.sin
    check(model)


@pytest.mark.parametrize("inner", [48, 64])
@pytest.mark.parametrize("activation", ["gelu", "relu", "silu", "tanh"])
def test_int8_covers_what_the_activation_gives(activation, inner):
    """All of it: only GELU never falls below -0.17, SiLU does and tanh goes down to -1."""
    model = built("bert", hidden_act=activation, intermediate_size=inner)
    batch = rows(0, 2)
    with torch.inference_mode():
        expected = PackedRunner(model, encoder=FusedEncoder(model)).hidden(batch)
        found = PackedRunner(model, encoder=FusedEncoder(model, int8=True)).hidden(batch)
    assert (found - expected).norm() / expected.norm() < 0.08


def int8_states(monkeypatch, *without: str, **settings) -> tuple[type, torch.Tensor]:
    """By what way, and what it gives."""
    model = built("bert", **{"intermediate_size": 64, **settings})
    with monkeypatch.context() as patch, torch.inference_mode():
        for name in without:
            patch.setattr(encoder_module, name, lambda *_: None)
        encoder = FusedEncoder(model, int8=True)
        return type(encoder._work), PackedRunner(model, encoder=encoder).hidden(rows(0, 2))


@pytest.mark.skipif(int8_blocks(32, 64) is None, reason="needs the extra 'cpu' and x86, not AMX")
def test_every_way_for_int8_gives_the_same(monkeypatch):
    blocks, ours = int8_states(monkeypatch)
    steps, between = int8_states(monkeypatch, "int8_blocks")
    by_torch, theirs = int8_states(monkeypatch, "int8_blocks", "int8_steps")
    assert (blocks, steps, by_torch) == (Int8BlockWork, Int8Work, TorchWork)
    # Now and then a number lies between two levels, and rounding decides.
    assert (ours - theirs).norm() / theirs.norm() < 2e-2
    assert (between - theirs).norm() / theirs.norm() < 2e-2


@pytest.mark.parametrize(
    "settings", [{"hidden_act": "relu"}, {"hidden_act": "gelu_new"}, {"intermediate_size": 36}]
)
def test_what_machine_code_does_not_know_is_left_to_torch(settings, monkeypatch):
    assert int8_states(monkeypatch, **settings)[0] is TorchWork


def test_layers_that_are_not_alike_are_left_to_torch():
    model = built("bert", intermediate_size=64)
    wide = model.encoder.layer[1]
    wide.intermediate.dense = torch.nn.Linear(32, 96)
    wide.output.dense = torch.nn.Linear(96, 32)
    encoder = FusedEncoder(model, int8=True)
    assert type(encoder._work) is TorchWork
    with torch.inference_mode():
        expected = PackedRunner(model, encoder=FusedEncoder(model)).hidden(rows(0, 2))
        found = PackedRunner(model, encoder=encoder).hidden(rows(0, 2))
    assert (found - expected).norm() / expected.norm() < 0.08


def test_the_norms_own_epsilon_is_used():
    check(built("bert", layer_norm_eps=0.5))


def test_a_position_beyond_the_last_is_not_made_up():
    model = built("roberta")
    runner = PackedRunner(model, encoder=FusedEncoder(model))
    with pytest.raises((IndexError, RuntimeError)):
        runner.hidden([TokenSequence(list(range(5, 74)))])  # 68 fit


# --- one copy of the weights ---


def attention_weights(model):
    for layer in model.base_model.encoder.layer:
        attention = layer.attention.self
        yield [attention.query.weight, attention.key.weight, attention.value.weight]


@pytest.mark.parametrize(
    ("dtype", "int8", "expected"),
    [(torch.float32, False, False), (torch.bfloat16, False, True), (torch.float32, True, True)],
)
def test_attention_may_round_where_weights_are_rounded(dtype, int8, expected, monkeypatch):
    asked = []
    attend = encoder_module.attend

    def seen(*states, **options):
        asked.append(options["halves"])
        return attend(*states, **options)

    monkeypatch.setattr(encoder_module, "attend", seen)
    encoder = FusedEncoder(built("bert").to(dtype), int8=int8)
    ids, positions = torch.full((1, 4), 7), torch.arange(4)[None]
    with torch.inference_mode():
        encoder(PackedLayout.of([4], [4], CPU), ids, position_ids=positions)
    assert asked == [expected] * 3


@pytest.mark.parametrize("int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("firsts", [False, True])
def test_memory_of_another_pass_changes_nothing(int8, firsts):
    encoder = FusedEncoder(built("bert", intermediate_size=64), int8=int8)
    if not int8:
        encoder.pack()
    if not encoder._work.takes_memory:
        pytest.skip("needs the extra 'cpu' and an x86 CPU with AVX2")
    lengths = [20, 9, 3]
    ids = torch.randint(5, 90, (1, 32), generator=torch.Generator().manual_seed(6))
    positions = torch.cat([torch.arange(length) for length in lengths])[None]

    def states() -> torch.Tensor:
        layout = PackedLayout.of(lengths, lengths, CPU)
        with torch.inference_mode():
            return encoder(layout, ids, firsts=firsts, position_ids=positions)

    found = states()
    (memory,) = encoder._spare._free
    with torch.inference_mode():
        memory.fill_(float("nan"))
    assert torch.equal(states(), found)
    assert encoder._spare._free[0] is memory


@pytest.mark.parametrize("int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("firsts", [False, True])
@pytest.mark.parametrize("inner", [36, 48])
def test_blocks_change_nothing(monkeypatch, int8, firsts, inner):
    encoder = FusedEncoder(built("bert", intermediate_size=inner), int8=int8)
    lengths = [20, 9, 9, 3, 1]
    layout = PackedLayout.of(lengths, lengths, CPU)
    ids = torch.randint(5, 90, (1, 42), generator=torch.Generator().manual_seed(6))
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    with torch.inference_mode():
        whole = encoder(layout, ids, firsts=firsts, position_ids=positions)
        monkeypatch.setattr(layer_module, "_ROWS", 8)
        monkeypatch.setattr(layer_module, "_STEP", 2)
        found = encoder(layout, ids, firsts=firsts, position_ids=positions)
    assert len(whole) == (len(lengths) if firsts else sum(lengths))
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)


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


# --- models that are not built like that ---


@pytest.mark.parametrize("maker", OTHERS)
def test_other_families_are_refused(make, maker):
    with pytest.raises((AttributeError, TypeError)):
        FusedEncoder(loaded(make, maker))


@pytest.mark.parametrize("maker", OTHERS)
def test_the_probe_does_without(make, maker):
    model = loaded(make, maker)
    runner = choose_runner(model, model.config.pad_token_id, with_logits=True)
    assert getattr(runner, "encoder", None) is None


def test_a_model_that_is_no_longer_like_its_family_is_noticed_by_its_numbers():
    """Parts of BERT's names around attention that looks to the left only."""
    model = built("bert", is_decoder=True)
    runner = choose_runner(model, 0, with_logits=False)
    assert getattr(runner, "encoder", None) is None


@pytest.mark.skipif(
    int(transformers.__version__.split(".")[0]) >= 5, reason="transformers 5 has dropped them"
)
@pytest.mark.parametrize("positions", ["relative_key", "relative_key_query"])
def test_relative_positions_are_noticed_by_their_numbers(positions):
    model = built("bert", position_embedding_type=positions)
    assert isinstance(choose_runner(model, 0, with_logits=False), PaddedRunner)
