"""The layers that are run for models of BERT's family, against the models' own code."""

from __future__ import annotations

import pytest
import torch
import transformers
from tests.engine.families import FAMILY, built, loaded

from rag_rerankers.engine import encoder as encoder_module
from rag_rerankers.engine import layer as layer_module
from rag_rerankers.engine.attention import PackedLayout
from rag_rerankers.engine.encoder import FusedEncoder
from rag_rerankers.engine.int8_blocks import int8_blocks
from rag_rerankers.engine.layer import Int8BlockWork, Int8Work, TorchWork
from rag_rerankers.engine.probe import choose_runner
from rag_rerankers.engine.runners import PackedRunner, PaddedRunner
from rag_rerankers.tokenization import TokenSequence

CPU = torch.device("cpu")
OTHERS = ["distilbert_reranker", "mpnet_reranker", "deberta_reranker", "modernbert_reranker",
          "electra_reranker"]  # fmt: skip
"""The last has embeddings narrower than its layers."""


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
