from __future__ import annotations

import contextvars
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.engine.summing import Summing, collect, rows, sums
from transformers import AutoModelForSequenceClassification

from rag_rerankers import OutOfMemoryError, RerankError
from rag_rerankers.cancellation import Cancelled, current_flag
from rag_rerankers.engine import Engine
from rag_rerankers.engine import engine as engine_module


@pytest.fixture
def engine(make, monkeypatch):
    """Makes an engine around a runner instead of a model."""

    def made(runner: Summing, batch_tokens: int | None = None) -> Engine:
        monkeypatch.setattr(engine_module, "choose_runner", lambda *_, **__: runner)
        model = AutoModelForSequenceClassification.from_pretrained(make("bert_reranker"))
        return Engine(model, 0, with_logits=True, batch_tokens=batch_tokens)

    return made


SEQUENCES = rows(3, 17, 1, 8, 8, 30, 2)
SUMS = sums(SEQUENCES)


@pytest.mark.parametrize("budget", [1, 8, 30, 40, 10**6])
@pytest.mark.parametrize("padded", [False, True])
def test_every_sequence_is_run_once_whatever_the_budget(engine, budget, padded):
    runner = Summing(padded=padded)
    assert collect(engine(runner, budget), SEQUENCES) == SUMS
    assert all(tokens <= max(budget, 30) for tokens in runner.batches)


def test_nothing_to_run_runs_nothing(engine):
    runner = Summing()
    assert collect(engine(runner), []) == []
    assert runner.batches == []


def test_a_larger_budget_makes_fewer_batches(engine):
    counts = []
    for budget in (1, 20, 10**6):
        runner = Summing()
        collect(engine(runner, budget), SEQUENCES)
        counts.append(len(runner.batches))
    assert counts == [7, 4, 1]


def test_lengths_are_kept_apart_where_padding_would_change_the_collect(engine):
    runner = Summing(padded=True, equal_lengths=True)
    assert collect(engine(runner, 10**6), SEQUENCES) == SUMS
    assert runner.batches == [30, 17, 16, 3, 2, 1], "the two of 8 tokens went together"


def test_the_longest_sequences_run_first(engine):
    runner = Summing()
    collect(engine(runner, 1), SEQUENCES)
    assert runner.batches == [30, 17, 8, 8, 3, 2, 1]


@pytest.mark.parametrize("padded", [False, True])
def test_out_of_memory_halves_the_budget_and_loses_nothing(engine, caplog, padded):
    runner = Summing(memory=40, padded=padded)
    made = engine(runner, 400)
    with caplog.at_level(logging.WARNING, "rag_rerankers"):
        assert collect(made, SEQUENCES) == SUMS
    assert made.batch_tokens == 34, "half of the 69 tokens that did not fit"
    (warned,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert "out of memory with 69 tokens in a batch: going on with 34" in warned.getMessage()


def test_the_budget_never_falls_below_the_longest_sequence(engine):
    made = engine(Summing(memory=30), 400)
    assert collect(made, rows(30, 1, 1)) == sums(rows(30, 1, 1))
    assert made.batch_tokens == 30


def test_the_smaller_budget_is_kept_for_the_next_call(engine, caplog):
    runner = Summing(memory=40)
    made = engine(runner, 400)
    collect(made, SEQUENCES)
    caplog.clear()
    assert collect(made, SEQUENCES) == SUMS
    assert not caplog.records, "the second call ran out of memory again"


def test_one_sequence_that_does_not_fit_is_an_error_that_says_what_helps(engine):
    made = engine(Summing(memory=20), 400)
    with pytest.raises(OutOfMemoryError, match="one sequence of 30 tokens") as caught:
        collect(made, SEQUENCES)
    assert isinstance(caught.value, RerankError)
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    for remedy in ("max_length", "half-precision", "device='cpu'"):
        assert remedy in str(caught.value)


def test_any_other_error_surfaces_as_it_is(engine):
    runner = Summing()
    runner.error = RuntimeError("CUDA error: device-side assert triggered")
    made = engine(runner, 400)
    with pytest.raises(RuntimeError) as caught:
        collect(made, SEQUENCES)
    assert caught.value is runner.error
    assert made.batch_tokens == 400
    runner.error = None
    assert collect(made, SEQUENCES) == SUMS


def test_one_core_runs_one_forward_pass_at_a_time(engine):
    runner = Summing()
    made = engine(runner, 1)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: collect(made, SEQUENCES), range(8)))
    assert found == [SUMS] * 8
    assert runner.most_at_once == 1


def test_no_gradients_are_kept(engine):
    runner = Summing()
    made = engine(runner)
    collect(made, SEQUENCES)
    assert all(runner.inference)
    assert not any(parameter.requires_grad for parameter in made.model.parameters())
    assert not made.model.training


def test_cancelled_work_stops_between_two_batches(engine):
    runner = Summing()
    made = engine(runner, 1)
    flag = threading.Event()
    many = rows(*[30] * 20)

    def work() -> None:
        current_flag.set(flag)
        for count, _ in enumerate(made.run(many, lambda _, output: output), 1):
            if count == 3:
                flag.set()

    with pytest.raises(Cancelled):
        contextvars.copy_context().run(work)
    assert collect(made, SEQUENCES) == SUMS, "the engine works afterwards"
    assert len(runner.batches) - len(SEQUENCES) in (3, 4), "one may have been under way"


def test_the_budget_is_the_users_or_the_devices(engine):
    assert engine(Summing(), 77).batch_tokens == 77
    assert engine(Summing()).batch_tokens > 500


@pytest.mark.parametrize("padded", [True, False])
def test_the_engine_says_whether_it_packs(engine, padded):
    assert engine(Summing(padded=padded)).packed is not padded
