from __future__ import annotations

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from rag_rerankers.engine.attention import PACKED_ATTENTION
from rag_rerankers.engine.heads import HEADS
from rag_rerankers.engine.probe import choose_runner
from rag_rerankers.engine.runners import PackedRunner, PaddedRunner, first_position
from rag_rerankers.tokenization import TokenSequence

PAIRS = [
    "xlmr_reranker",
    "bert_reranker",
    "electra_reranker",
    "roberta_reranker",
    "modernbert_reranker",
    "distilbert_reranker",
    "deberta_reranker",
    "mpnet_reranker",
]
ENCODERS = ["bert_encoder", "modernbert_encoder"]


def load(make, maker: str, auto_class):
    return auto_class.from_pretrained(
        make(maker), local_files_only=True, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def sequences(model, lengths=(17, 3, 40, 3, 1), types: bool = True) -> list[TokenSequence]:
    generator = torch.Generator().manual_seed(7)
    made = []
    for length in lengths:
        ids = torch.randint(5, model.config.vocab_size, (length,), generator=generator).tolist()
        first = length // 2
        made.append(TokenSequence(ids, [0] * first + [1] * (length - first) if types else ()))
    return made


def alone(model, row: TokenSequence, takes_types: bool) -> dict[str, torch.Tensor]:
    """One row's input without any padding: what the batch must equal."""
    inputs = {"input_ids": torch.tensor([row.ids])}
    mask = torch.zeros(1, len(row.ids), dtype=torch.long)
    mask[0, : row.n_attended] = 1
    inputs["attention_mask"] = mask
    if takes_types:
        inputs["token_type_ids"] = torch.tensor([row.type_ids or [0] * len(row.ids)])
    return inputs


def runners(model, pad_id: int, with_logits: bool):
    """The padded runner, and the other one if this model has it with this transformers."""
    padded = PaddedRunner(model, pad_id)
    yield padded
    chosen = choose_runner(model, pad_id, with_logits=with_logits)
    if isinstance(chosen, PackedRunner):
        yield chosen


@pytest.mark.parametrize("maker", PAIRS)
@torch.inference_mode()
def test_logits_equal_those_of_each_sequence_alone(make, maker):
    model = load(make, maker, AutoModelForSequenceClassification)
    takes_types = maker in ("bert_reranker", "electra_reranker")
    batch = sequences(model, types=takes_types)
    expected = [float(model(**alone(model, row, takes_types)).logits[0, 0]) for row in batch]
    for runner in runners(model, 1, with_logits=True):
        got = runner.logits(batch)
        assert got.dtype == torch.float32
        assert got.tolist() == pytest.approx(expected, abs=1e-4), type(runner)


@pytest.mark.parametrize("maker", ENCODERS)
@torch.inference_mode()
def test_hidden_states_equal_those_of_each_sequence_alone(make, maker):
    model = load(make, maker, AutoModel)
    batch = sequences(model, types=False)
    expected = torch.cat(
        [model(**alone(model, row, takes_types=False)).last_hidden_state[0] for row in batch]
    )
    for runner in runners(model, 1, with_logits=False):
        torch.testing.assert_close(runner.hidden(batch), expected, atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_unattended_tokens_have_states_but_are_not_seen(make):
    """[MASK]s of a ColBERT query: they look at the text, the text does not look at them."""
    model = load(make, "bert_encoder", AutoModel)
    batch = [row._replace(attended=len(row.ids) - 2) for row in sequences(model, (12, 9, 9))]
    batch.append(sequences(model, (9,))[0])
    expected = torch.cat(
        [model(**alone(model, row, takes_types=True)).last_hidden_state[0] for row in batch]
    )
    for runner in runners(model, 0, with_logits=False):
        got = runner.hidden(batch)
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-4)
        # What is not attended changes nothing but its own states.
        other = [batch[0]._replace(ids=[*batch[0].ids[:-2], 50, 51]), *batch[1:]]
        changed = (runner.hidden(other) - got).abs().amax(dim=1) > 1e-4
        assert changed.nonzero().flatten().tolist() == [10, 11]


@pytest.mark.parametrize("maker", ["xlmr_reranker", "roberta_reranker"])
@torch.inference_mode()
def test_a_padding_token_in_a_text_shifts_positions_as_in_the_model(make, maker):
    """RoBERTa's own rule: it stands at the padding position and is not counted."""
    model = load(make, maker, AutoModelForSequenceClassification)
    pad = model.config.pad_token_id
    batch = [
        TokenSequence([0, 9, pad, 11, pad, pad, 12, 2]),
        TokenSequence([0, 9, 10, 2]),
        TokenSequence([pad, 9, 10, 2, pad]),
    ]
    expected = [float(model(**alone(model, row, False)).logits[0, 0]) for row in batch]
    for runner in runners(model, pad, with_logits=True):
        assert runner.logits(batch).tolist() == pytest.approx(expected, abs=1e-4), type(runner)


@torch.inference_mode()
def test_segment_ids_reach_the_model(make):
    model = load(make, "bert_reranker", AutoModelForSequenceClassification)
    (row,) = sequences(model, (9,))
    for runner in runners(model, 0, with_logits=True):
        with_types, without, zeros = runner.logits(
            [row, row._replace(type_ids=()), row._replace(type_ids=[0] * 9)]
        ).tolist()
        assert abs(with_types - without) > 1e-3
        assert without == pytest.approx(zeros, abs=1e-5)


@pytest.mark.parametrize(
    ("maker", "expected"),
    [("xlmr_reranker", 2), ("roberta_reranker", 2), ("bert_reranker", 0), ("deberta_reranker", 0),
     ("modernbert_reranker", 0)],
)  # fmt: skip
def test_positions_begin_where_the_family_begins_them(make, maker, expected):
    assert first_position(load(make, maker, AutoModelForSequenceClassification)) == expected


def test_the_padded_batch_is_a_rectangle_filled_with_the_padding_id(make):
    model = load(make, "bert_reranker", AutoModelForSequenceClassification)
    seen = {}
    model.register_forward_pre_hook(lambda _, __, kwargs: seen.update(kwargs), with_kwargs=True)
    batch = [TokenSequence([5, 6, 7], [0, 1, 1], attended=2), TokenSequence([8])]
    PaddedRunner(model, 3).logits(batch)
    assert seen["input_ids"].tolist() == [[5, 6, 7], [8, 3, 3]]
    assert seen["attention_mask"].tolist() == [[1, 1, 0], [1, 0, 0]]
    assert seen["token_type_ids"].tolist() == [[0, 1, 1], [0, 0, 0]]


def test_the_packed_row_has_no_padding(make):
    model = load(make, "xlmr_reranker", AutoModelForSequenceClassification)
    runner = choose_runner(model, 1, with_logits=True)
    assert isinstance(runner, PackedRunner)
    seen = {}
    runner.encoder = lambda layout, **inputs: (
        seen.update(inputs, layout=layout) or torch.zeros(8, model.config.hidden_size)
    )
    runner.hidden([TokenSequence([0, 9, 8, 7, 2]), TokenSequence([0, 9, 2])])
    assert seen["input_ids"].tolist() == [[0, 9, 8, 7, 2, 0, 9, 2]]
    assert seen["position_ids"].tolist() == [[2, 3, 4, 5, 6, 2, 3, 4]]
    assert seen["layout"].lengths == (5, 3)


def test_the_packed_row_of_a_model_that_runs_its_own_layers_has_no_padding(make):
    model = load(make, "modernbert_reranker", AutoModelForSequenceClassification)
    if not isinstance(choose_runner(model, 1, with_logits=True), PackedRunner):
        pytest.skip("this transformers does not let attention be replaced")
    assert model.config._attn_implementation == PACKED_ATTENTION
    seen = {}
    model.base_model.register_forward_pre_hook(
        lambda _, __, kwargs: seen.update(kwargs), with_kwargs=True
    )
    PackedRunner(model, HEADS[0]).hidden([TokenSequence([0, 9, 8, 7, 2]), TokenSequence([0, 9, 2])])
    assert seen["input_ids"].tolist() == [[0, 9, 8, 7, 2, 0, 9, 2]]
    assert seen["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert seen["packed_layout"].lengths == (5, 3)


@pytest.mark.parametrize(
    ("lengths", "row"),
    [
        ([1], 8), ([8], 8), ([5, 4], 16), ([60, 60, 60, 60, 9], 256), ([64] * 4, 256),
        ([64] * 4 + [1], 272), ([62] * 8, 496), ([62] * 8 + [1], 512), ([64] * 8 + [1], 544),
    ],
)  # fmt: skip
@pytest.mark.parametrize("with_logits", [True, False], ids=["logits", "states"])
def test_lengths_of_rows_recur_and_nothing_of_what_fills_them_comes_out(
    make, lengths, row, with_logits
):
    model = load(make, "bert_reranker", AutoModelForSequenceClassification)
    runner = choose_runner(model, 0, with_logits=with_logits)
    seen = {}
    model.base_model.embeddings.register_forward_pre_hook(
        lambda _, __, kwargs: seen.update(kwargs), with_kwargs=True
    )
    batch = [TokenSequence([5 + n % 7] * length) for n, length in enumerate(lengths)]
    run = runner.logits if with_logits else runner.hidden
    with torch.inference_mode():
        found = run(batch)
        assert seen["input_ids"].shape == (1, row)
        alone = torch.cat([run([sequence]) for sequence in batch])
    assert len(found) == (len(lengths) if with_logits else sum(lengths))
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)
