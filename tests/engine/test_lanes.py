"""The threads that compute, around a runner that records what it is asked to."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count as counting

import pytest
import torch
from tests.engine.summing import Held, Summing, collect, idle, rows, run, sums, until

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")


# --- sharing ---


@pytest.mark.parametrize("with_logits", [True, False], ids=["logits", "hidden states"])
def test_callers_who_wait_at_the_same_time_share_a_pass(lanes, callers, with_logits):
    runner = Summing()
    held = Held(lanes(runner, 100), callers) if with_logits else None
    if held is None:
        made = lanes(runner, 100, with_logits=False)
        made._forward, plain = runner.logits, made._forward
        held = Held(made, callers)
        made._forward = plain
    asked = [rows(3, 8, caller=1), rows(5, caller=2), rows(8, 1, 4, caller=3)]

    def ask(sequences):
        def ids(indices, output):
            if with_logits:
                return output.tolist()
            lengths = [len(sequences[index].ids) for index in indices]
            return [part.flatten().tolist() for part in output.split(lengths)]

        found = {}
        for indices, batch in run(held.lanes, sequences, ids):
            found |= dict(zip(indices, batch, strict=True))
        return [found[index] for index in range(len(sequences))]

    futures = [held.submit(ask, sequences) for sequences in asked]
    held.go()
    for future, sequences in zip(futures, asked, strict=True):
        states = [torch.tensor(row.ids, dtype=torch.float32).tolist() for row in sequences]
        assert future.result(20) == (sums(sequences) if with_logits else states)
    _, shared = runner.passes
    assert runner.batches[1] == 29
    by_length = sorted((row for one in asked for row in one), key=lambda row: -len(row.ids))
    assert shared == [row.ids[0] for row in by_length], "equal lengths beside each other"


def test_a_shared_pass_holds_no_more_than_the_budget(lanes, callers):
    runner = Summing()
    held = Held(lanes(runner, 10), callers)
    asked = [rows(6, caller=1), rows(3, caller=2), rows(2, caller=3), rows(1, 7, caller=4)]
    futures = [held.submit(collect, held.lanes, sequences) for sequences in asked]
    held.go()
    assert [future.result(20) for future in futures] == [sums(one) for one in asked]
    # 6 + 3; then 2 + 7, for the 7 comes before the 1, and with the 1 it is 10
    assert runner.batches == [1, 9, 10]


def test_callers_with_other_lengths_do_not_share_where_padding_changes_the_numbers(lanes, callers):
    runner = Summing(padded=True, equal_lengths=True)
    held = Held(lanes(runner, 100), callers)
    asked = [rows(6, caller=1), rows(3, caller=2), rows(6, caller=3)]
    futures = [held.submit(collect, held.lanes, sequences) for sequences in asked]
    held.go()
    assert [future.result(20) for future in futures] == [sums(one) for one in asked]
    assert runner.batches == [1, 12, 3]


# --- fairness, memory ---


def test_thousands_of_sequences_do_not_hold_up_a_few(lanes, callers):
    runner = Summing()
    held = Held(lanes(runner, 10), callers)
    many, few = rows(*[1] * 3000, caller=1), rows(4, 3, caller=9)
    large = held.submit(collect, held.lanes, many)
    small = held.submit(collect, held.lanes, few)
    held.go()
    assert small.result(20) == sums(few)
    assert large.result(20) == sums(many)
    (at,) = (n for n, ids in enumerate(runner.passes) if few[0].ids[0] in ids)
    assert at <= 1 + 4, "four batches are one turn"
    assert len(runner.passes) > 300


@pytest.mark.parametrize("n_cores", [1, 2, 4])
def test_who_does_not_fetch_results_is_not_computed_any_further(lanes, n_cores):
    runner = Summing()
    made = lanes(runner, 20, n_cores)
    many = rows(*[5] * 1000)
    results = run(made, many, lambda _, output: output.tolist())
    found = dict(zip(*next(results), strict=True))
    until(lambda: idle(made))
    # what was fetched; what may be held; and a batch that each lane had begun by then
    assert sum(runner.batches) <= 20 + 2 * 20 * (n_cores + 1) + 20 * n_cores
    for indices, values in results:
        found |= dict(zip(indices, values, strict=True))
    assert [found[n] for n in range(1000)] == sums(many)
    assert sum(runner.batches) == 5000


def test_a_caller_who_stops_early_frees_the_queue(lanes):
    runner = Summing()
    made = lanes(runner, 10)
    results = run(made, rows(*[10] * 500), lambda _, output: output)
    next(results)
    results.close()
    assert not made._queue._requests
    until(lambda: idle(made))
    assert len(runner.batches) < 10
    assert collect(made, rows(3, 4)) == sums(rows(3, 4))


# --- how many at a time, and where ---


def test_as_many_passes_run_at_a_time_as_there_are_lanes(lanes, callers):
    runner = Summing()
    made = lanes(runner, 10, 4)
    assert made.count == 4
    runner.gate.clear()
    many = rows(*[10] * 40)
    future = callers.submit(collect, made, many)
    for _ in range(4):
        assert runner.entered.acquire(timeout=20)
    assert not runner.entered.acquire(timeout=0.02), "a fifth pass"
    runner.gate.set()
    assert future.result(20) == sums(many)
    assert runner.most_at_once == 4


@pytest.mark.parametrize(
    ("n_cores", "device", "expected"),
    [(1, CPU, 1), (2, CPU, 2), (4, CPU, 4), (16, CPU, 4), (4, ELSEWHERE, 1)],
    ids=str,
)
def test_there_is_a_lane_for_each_core_but_not_many_and_one_elsewhere(
    lanes, callers, n_cores, device, expected
):
    runner = Summing()
    made = lanes(runner, 7, n_cores, device=device)
    assert made.count == expected
    asked = [rows(3, 5, 7, 2, 1, caller=n) for n in range(16)]
    futures = [callers.submit(collect, made, sequences) for sequences in asked]
    assert [future.result(20) for future in futures] == [sums(one) for one in asked]
    # Beside the lanes one pass with all cores may be under way.
    assert runner.most_at_once <= (expected if expected == 1 else expected + 1)


def test_a_single_long_text_goes_to_the_lane_with_all_cores(lanes):
    runner = Summing()
    made = lanes(runner, 1000, 2)
    for lengths in ([300], [300, 10], [500, 300, 1]):  # more than 60 % of everything
        assert collect(made, rows(*lengths)) == sums(rows(*lengths))
    assert runner.threads == ["rag-rerankers-all-cores"] * 3


@pytest.mark.parametrize("lengths", [[50] * 8, [300, 200, 200], [9, 4, 3, 2, 1]], ids=str)
def test_what_can_be_divided_is(lanes, callers, lengths):
    runner = Summing()
    made = lanes(runner, 10_000, 2)
    runner.gate.clear()
    future = callers.submit(collect, made, rows(*lengths))
    for _ in range(2):
        assert runner.entered.acquire(timeout=20)
    runner.gate.set()
    assert future.result(20) == sums(rows(*lengths))
    assert sorted(runner.threads[:2]) == ["rag-rerankers-lane-0", "rag-rerankers-lane-1"]


def test_only_what_cannot_be_divided_goes_to_all_cores(lanes):
    runner = Summing()
    made = lanes(runner, 64, 2)
    chosen = random.Random(2)
    sequences = rows(*(chosen.choice([1, 5, 20, 60, 200]) for _ in range(300)))
    assert collect(made, sequences) == sums(sequences)
    length = {row.ids[0]: len(row.ids) for row in sequences}
    left = sum(length.values())
    for ids, thread in zip(runner.passes, runner.threads, strict=True):
        if thread.endswith("all-cores"):
            assert max(length[id_] for id_ in ids) > 0.6 * left
        left -= sum(length[id_] for id_ in ids)


def test_a_long_text_does_not_wait_while_the_lanes_are_busy(lanes, callers):
    runner = Summing()
    made = lanes(runner, 10, 2)
    runner.gate.clear()
    many = callers.submit(collect, made, rows(*[10] * 20))
    for _ in range(2):
        assert runner.entered.acquire(timeout=20)
    long = callers.submit(collect, made, rows(10_000, caller=1))
    until(lambda: len(made._queue._requests) == 2)
    runner.gate.set()
    assert many.result(20) == sums(rows(*[10] * 20))
    assert long.result(20) == sums(rows(10_000, caller=1))


@pytest.mark.parametrize("n_cores", [1, 2, 4])
def test_torch_uses_as_many_threads_elsewhere_as_before(lanes, n_cores):
    def in_a_new_thread() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    made = lanes(Summing(), 10, n_cores)
    assert (torch.get_num_threads(), in_a_new_thread()) == (n_cores, n_cores)
    collect(made, rows(*[5] * 40, 100))
    assert (torch.get_num_threads(), in_a_new_thread()) == (n_cores, n_cores)


def test_each_lane_has_its_share_of_the_cores(lanes):
    seen = {}

    class Seeing(Summing):
        def logits(self, batch):
            seen[threading.current_thread().name] = torch.get_num_threads()
            return super().logits(batch)

    runner = Seeing()
    made = lanes(runner, 10, 8)
    runner.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(collect, made, rows(*[10] * 40))
        for _ in range(4):
            assert runner.entered.acquire(timeout=20)
        runner.gate.set()
        future.result(20)
    collect(made, rows(50))
    shares = {f"rag-rerankers-lane-{n}": 2 for n in range(4)}
    assert seen == {**shares, "rag-rerankers-all-cores": 8}


# --- many at a time ---


@pytest.mark.parametrize("n_cores", [1, 2, 4])
@pytest.mark.parametrize("with_logits", [True, False], ids=["logits", "hidden states"])
def test_hundreds_of_calls_at_once_get_their_own_results(lanes, callers, n_cores, with_logits):
    made = lanes(Summing(), 40, n_cores, with_logits=with_logits)
    numbers = counting()
    chosen = random.Random(3)
    asked = [rows(*(chosen.randint(1, 30) for _ in range(chosen.randint(1, 9))),
                  caller=next(numbers)) for _ in range(300)]  # fmt: skip

    def ask(sequences):
        found = {}
        for indices, output in run(made, sequences, lambda indices, output: output):
            sizes = [1 if with_logits else len(sequences[index].ids) for index in indices]
            parts = [part.sum().item() for part in output.split(sizes)]
            assert not found.keys() & set(indices)
            found |= dict(zip(indices, parts, strict=True))
        return [found[index] for index in range(len(sequences))]

    for found, sequences in zip(callers.map(ask, asked), asked, strict=True):
        assert found == pytest.approx(sums(sequences), rel=1e-6)
