from __future__ import annotations

import threading

import pytest
import torch
from tests.samples import QUERY, random_texts

from rag_rerankers import ModelOptions, load_scorer
from rag_rerankers.scorers import parts
from rag_rerankers.scorers.comparison import Comparison
from rag_rerankers.scorers.maxsim import maxsim

TEXTS = random_texts(7, 9)


@pytest.fixture(params=["stanford_colbert", "minilm-maxsim"])
def encoder(request, make):
    folder = request.param if request.param == "minilm-maxsim" else make(request.param)
    return load_scorer(folder, ModelOptions(device="cpu", dtype="float32")).encoder


@pytest.fixture
def expected(encoder):
    """Each text by itself, after the query by itself."""
    asked = encoder.query(QUERY).vectors
    documents = [encoder.documents([text])[0] for text in TEXTS]
    return [float(maxsim(asked, document, [len(document)])) for document in documents]


class Held:
    """Catches what would be computed, to compute it in an order of the test's."""

    def __init__(self, encoder, monkeypatch) -> None:
        self.first: int | None = None
        self._engine = encoder.engine
        self._run = encoder.engine.start
        monkeypatch.setattr(encoder.engine, "start", self._start)

    def _start(self, sequences, after, *, first=None):
        self.first, self.after = first, after
        self.lengths = [len(sequence.ids) for sequence in sequences]
        with self._run(sequences, lambda indices, states: (indices, states)) as job:
            rows = [
                (index, piece)
                for _, (indices, states) in job
                for index, piece in zip(
                    indices, states.split([self.lengths[index] for index in indices]), strict=True
                )
            ]
        self._states = dict(rows)

    def compute(self, *indices: int) -> dict[int, float]:
        with torch.inference_mode():
            states = torch.cat([self._states[index] for index in indices])
            found, scores = self.after(list(indices), states)
        assert len(found) == len(scores)
        return dict(zip(found, scores.tolist(), strict=True))


def test_scores_are_those_of_query_and_documents_apart(encoder, expected):
    started = Comparison(encoder, QUERY).start(TEXTS)
    found = {}
    with started.job as job:
        for _, (indices, scores) in job:
            found |= dict(zip(indices, scores.tolist(), strict=True))
    assert [found[index] for index in range(len(TEXTS))] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("batches", [
    [(9, 0, 1, 2, 3, 4, 5, 6, 7, 8)],
    [(9,), (0, 1, 2, 3), (4, 5, 6, 7, 8)],
    [(0, 1, 2, 3), (4, 5, 9, 6, 7, 8)],
    [(8,), (7, 6, 5), (4, 3), (2, 1, 0), (9,)],
    [(0, 1), (2, 9), (3, 4, 5, 6, 7, 8)],
])  # fmt: skip
def test_whoever_is_later_compares(encoder, expected, monkeypatch, batches):
    held = Held(encoder, monkeypatch)
    Comparison(encoder, QUERY).start(TEXTS)
    query = len(TEXTS)
    assert held.first == query
    seen, found = False, {}
    for batch in batches:
        seen |= query in batch
        new = held.compute(*batch)
        assert not found.keys() & new.keys(), "each once"
        assert seen or not new
        found |= new
        if seen:
            assert found.keys() >= set(batch) - {query}
    assert [found[index] for index in range(len(TEXTS))] == pytest.approx(expected, abs=1e-4)


def test_a_batch_that_is_computed_again_loses_none_that_waited(encoder, expected, monkeypatch):
    """As happens if the part of another caller in the same batch has failed."""
    held = Held(encoder, monkeypatch)
    Comparison(encoder, QUERY).start(TEXTS)
    assert held.compute(0, 1, 2) == {}
    first = held.compute(3, 9, 4)
    assert held.compute(3, 9, 4) == first
    assert [first[index] for index in range(5)] == pytest.approx(expected[:5], abs=1e-4)


def test_a_query_that_is_encoded_first_is_not_encoded_again(encoder, expected, monkeypatch):
    asked = Comparison(encoder, QUERY, parts=2)
    held = Held(encoder, monkeypatch)
    asked.start(TEXTS[:4])
    assert held.first is None
    assert len(held.lengths) == 4
    found = list(held.compute(0, 1, 2, 3).values())
    asked.start(TEXTS[4:])
    found += held.compute(0, 1, 2, 3, 4).values()
    assert found == pytest.approx(expected, abs=1e-4)


def test_what_is_said_of_the_query_is_what_is_said_when_it_is_encoded(encoder):
    asked, alone = Comparison(encoder, QUERY), encoder.query(QUERY)
    assert (asked.n_tokens, asked.room, asked.n_vectors) == (
        alone.n_tokens,
        alone.room,
        len(alone.vectors),
    )


def test_the_query_takes_no_pass_of_its_own(monkeypatch):
    scorer = load_scorer("minilm-maxsim", ModelOptions(device="cpu", dtype="float32"))
    lanes = scorer.engine._lanes
    forward, passes, lock = lanes._forward, [], threading.Lock()

    def counted(sequences):
        with lock:
            passes.append(len(sequences))
        return forward(sequences)

    monkeypatch.setattr(lanes, "_forward", counted)
    scorer.score(QUERY, [TEXTS[0]] * 8)
    assert sum(passes) == 9
    assert len(passes) <= lanes.count


def test_the_query_is_in_one_of_the_first_passes(monkeypatch):
    """Vectors of documents that came before it are kept until it comes."""
    options = ModelOptions(device="cpu", dtype="float32", batch_tokens=64)
    scorer = load_scorer("minilm-maxsim", options)
    lanes = scorer.engine._lanes
    forward, passes, lock = lanes._forward, [], threading.Lock()

    def noted(sequences):
        with lock:
            passes.append([sequence.ids for sequence in sequences])
        return forward(sequences)

    monkeypatch.setattr(lanes, "_forward", noted)
    scorer.score("bear", ["a longer text about bears and where they live " * 4] * 12)
    (asked,) = [n for n, batch in enumerate(passes) if any(len(ids) < 8 for ids in batch)]
    assert asked < lanes.count < len(passes)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (256, 1), (257, 2), (600, 3)])
def test_texts_are_divided_as_is_said(monkeypatch, count, expected):
    started = []

    class Job:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.close()

        def __iter__(self):
            return iter([([], ([], torch.empty(0)))])

        def close(self):
            pass

    def start(texts):
        started.append(texts)
        return parts.Started(parts.Passages([], [], 0), Job())

    texts = ["a"] * count
    parts.score_in_parts(texts, start, torch.device("cpu"))
    assert len(started) == parts.number_of_parts(texts, torch.device("cpu")) == expected
