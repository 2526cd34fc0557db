from __future__ import annotations

import contextvars
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from rag_rerankers import OutOfMemoryError, RerankError
from rag_rerankers.cancellation import Cancelled, current_flag
from rag_rerankers.engine import Engine
from rag_rerankers.engine import engine as engine_module
from rag_rerankers.tokenization import TokenSequence


class Summing:
    """Stands in for a model: a sequence's logit is the sum of its ids.

    Args:
        memory: Tokens that fit; more raise what a full accelerator raises.
        padded: Whether every sequence costs as much as the longest.
        equal_lengths: Whether it must not be given different lengths together.
    """

    def __init__(
        self, memory: int | None = None, padded: bool = False, equal_lengths: bool = False
    ) -> None:
        self.memory = memory
        self.padded = padded
        self.equal_lengths = equal_lengths
        self.batches: list[int] = []
        self.inference: list[bool] = []
        self.at_once = 0
        self.most_at_once = 0
        self.error: Exception | None = None

    def logits(self, batch):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.inference.append(torch.is_inference_mode_enabled())
            lengths = [len(row.ids) for row in batch]
            tokens = len(lengths) * max(lengths) if self.padded else sum(lengths)
            assert not self.equal_lengths or len(set(lengths)) == 1
            if self.error is not None:
                raise self.error
            if self.memory is not None and tokens > self.memory:
                raise torch.OutOfMemoryError(f"tried to allocate {tokens}")
            self.batches.append(tokens)
            return torch.tensor([float(sum(row.ids)) for row in batch])
        finally:
            self.at_once -= 1

    hidden = logits


@pytest.fixture
def engine(make, monkeypatch):
    """Makes an engine around a runner instead of a model."""

    def made(runner: Summing, batch_tokens: int | None = None) -> Engine:
        monkeypatch.setattr(engine_module, "choose_runner", lambda *_, **__: runner)
        model = AutoModelForSequenceClassification.from_pretrained(make("bert_reranker"))
        return Engine(model, 0, with_logits=True, batch_tokens=batch_tokens)

    return made


def rows(*lengths: int) -> list[TokenSequence]:
    return [TokenSequence([number * 100 + n for n in range(length)]) for number, length in
            enumerate(lengths, 1)]  # fmt: skip


def scores(engine: Engine, sequences) -> list[float]:
    found = [float("nan")] * len(sequences)
    for indices, output in engine.run(sequences):
        for index, value in zip(indices, output.tolist(), strict=True):
            assert found[index] != found[index], "scored twice"
            found[index] = value
    return found


SEQUENCES = rows(3, 17, 1, 8, 8, 30, 2)
SUMS = [float(sum(row.ids)) for row in SEQUENCES]


@pytest.mark.parametrize("budget", [1, 8, 30, 40, 10**6])
@pytest.mark.parametrize("padded", [False, True])
def test_every_sequence_is_run_once_whatever_the_budget(engine, budget, padded):
    runner = Summing(padded=padded)
    assert scores(engine(runner, budget), SEQUENCES) == SUMS
    assert all(tokens <= max(budget, 30) for tokens in runner.batches)


def test_nothing_to_run_runs_nothing(engine):
    runner = Summing()
    assert scores(engine(runner), []) == []
    assert runner.batches == []


def test_a_larger_budget_makes_fewer_batches(engine):
    counts = []
    for budget in (1, 20, 10**6):
        runner = Summing()
        scores(engine(runner, budget), SEQUENCES)
        counts.append(len(runner.batches))
    assert counts == [7, 4, 1]


def test_lengths_are_kept_apart_where_padding_would_change_the_scores(engine):
    runner = Summing(padded=True, equal_lengths=True)
    assert scores(engine(runner, 10**6), SEQUENCES) == SUMS
    assert runner.batches == [30, 17, 16, 3, 2, 1], "the two of 8 tokens went together"


def test_the_longest_sequences_run_first(engine):
    runner = Summing()
    scores(engine(runner, 1), SEQUENCES)
    assert runner.batches == [30, 17, 8, 8, 3, 2, 1]


@pytest.mark.parametrize("padded", [False, True])
def test_out_of_memory_halves_the_budget_and_loses_nothing(engine, caplog, padded):
    runner = Summing(memory=40, padded=padded)
    made = engine(runner, 400)
    with caplog.at_level(logging.WARNING, "rag_rerankers"):
        assert scores(made, SEQUENCES) == SUMS
    assert made.batch_tokens == 34, "half of the 69 tokens that did not fit"
    (warned,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert "out of memory with 69 tokens in a batch: going on with 34" in warned.getMessage()


def test_the_budget_never_falls_below_the_longest_sequence(engine):
    made = engine(Summing(memory=30), 400)
    assert scores(made, rows(30, 1, 1)) == [float(sum(row.ids)) for row in rows(30, 1, 1)]
    assert made.batch_tokens == 30


def test_the_smaller_budget_is_kept_for_the_next_call(engine, caplog):
    runner = Summing(memory=40)
    made = engine(runner, 400)
    scores(made, SEQUENCES)
    caplog.clear()
    assert scores(made, SEQUENCES) == SUMS
    assert not caplog.records, "the second call ran out of memory again"


def test_one_sequence_that_does_not_fit_is_an_error_that_says_what_helps(engine):
    made = engine(Summing(memory=20), 400)
    with pytest.raises(OutOfMemoryError, match="one sequence of 30 tokens") as caught:
        scores(made, SEQUENCES)
    assert isinstance(caught.value, RerankError)
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    for remedy in ("max_length", "half-precision", "device='cpu'"):
        assert remedy in str(caught.value)


def test_any_other_error_surfaces_as_it_is(engine):
    runner = Summing()
    runner.error = RuntimeError("CUDA error: device-side assert triggered")
    made = engine(runner, 400)
    with pytest.raises(RuntimeError) as caught:
        scores(made, SEQUENCES)
    assert caught.value is runner.error
    assert made.batch_tokens == 400
    runner.error = None
    assert scores(made, SEQUENCES) == SUMS


def test_one_forward_pass_at_a_time(engine):
    runner = Summing()
    plain = runner.logits

    def slow(batch):
        found = plain(batch)
        runner.at_once += 1
        runner.most_at_once = max(runner.most_at_once, runner.at_once)
        time.sleep(0.001)
        runner.at_once -= 1
        return found

    runner.logits = slow
    made = engine(runner, 1)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: scores(made, SEQUENCES), range(8)))
    assert found == [SUMS] * 8
    assert runner.most_at_once == 1


def test_no_gradients_are_kept(engine):
    runner = Summing()
    made = engine(runner)
    scores(made, SEQUENCES)
    assert all(runner.inference)
    assert not any(parameter.requires_grad for parameter in made.model.parameters())
    assert not made.model.training


def test_cancelled_work_stops_between_two_batches(engine):
    runner = Summing()
    made = engine(runner, 1)
    flag = threading.Event()

    def work() -> None:
        current_flag.set(flag)
        for count, _ in enumerate(made.run(SEQUENCES), 1):
            if count == 3:
                flag.set()

    with pytest.raises(Cancelled):
        contextvars.copy_context().run(work)
    assert len(runner.batches) == 3
    assert scores(made, SEQUENCES) == SUMS, "the engine works afterwards"


def test_the_budget_is_the_users_or_the_devices(engine):
    assert engine(Summing(), 77).batch_tokens == 77
    assert engine(Summing()).batch_tokens > 500


@pytest.mark.parametrize("padded", [True, False])
def test_the_engine_says_whether_it_packs(engine, padded):
    assert engine(Summing(padded=padded)).packed is not padded
