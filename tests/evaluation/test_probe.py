from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict

import pytest
import transformers
from tests.stand_ins import Length

import rag_rerankers
from rag_rerankers import ModelLoadError, ModelOptions, TruncationWarning
from rag_rerankers.evaluation import probe

OPTIONS = ModelOptions(device="cpu", dtype="float32", max_length=20, local_files_only=True)
TEXTS = ["bear", *["giant panda " * 30] * 8]


@pytest.fixture
def ask(monkeypatch, capsys):
    """Sends a request to the module, and returns what it wrote."""

    def asked(model, sample):
        request = {"model": str(model), "options": OPTIONS.as_kwargs(), "sample": sample}
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
        probe.main()
        return capsys.readouterr().out

    yield asked
    transformers.logging.enable_progress_bar()


def test_the_last_line_is_the_answer(ask, make):
    *_, last = ask(make("bert_reranker"), [["q", TEXTS]]).splitlines()
    answer = json.loads(last)
    assert {*answer} == {*asdict(rag_rerankers.evaluation.cost.Probe())}
    assert (answer["one"]["calls"], answer["eight"]["calls"]) == (9, 1)
    assert answer["one"]["p50"] > 0
    assert answer["load_seconds"] > 0


def test_the_answer_stands_in_a_line_of_its_own_whatever_was_written_before(ask, make, monkeypatch):
    class Talking(Length):
        def score(self, query, texts):
            sys.stdout.write("no line end")
            return super().score(query, texts)

    class Reranker:
        def __init__(self, model, **options):
            self.scorer = Talking()

    monkeypatch.setattr(rag_rerankers, "Reranker", Reranker)
    *_, before, last = ask("any", [["q", ["a"]]]).splitlines()
    assert before.endswith("no line end")
    assert json.loads(last)["one"]["calls"] == 1


def test_the_model_is_loaded_with_its_options_and_reads_a_whole_query_first(ask, monkeypatch):
    made, calls = [], []

    class Seen(Length):
        def score(self, query, texts):
            calls.append((query, len(texts)))
            return super().score(query, texts)

    class Reranker:
        def __init__(self, model, **options):
            made.append((model, options))
            self.scorer = Seen()

    monkeypatch.setattr(rag_rerankers, "Reranker", Reranker)
    ask("any", [["q1", TEXTS], ["q2", ["a", "b"]]])
    assert made == [("any", OPTIONS.as_kwargs())]
    # Peak memory is that of a whole query.
    assert calls[:2] == [("q1", 9), ("q1", 1)]


def test_cuts_are_no_errors(ask, make):
    # The suite makes an error of this warning; the process has nobody to tell it to.
    with pytest.warns(TruncationWarning):
        rag_rerankers.Reranker(make("bert_reranker"), **OPTIONS.as_kwargs()).rank("q", TEXTS)
    assert ask(make("bert_reranker"), [["q", TEXTS]])


def test_a_model_that_cannot_be_loaded_ends_the_process_with_an_error(ask, tmp_path):
    with pytest.raises(ModelLoadError):
        ask(tmp_path, [["q", ["a"]]])


def test_memory_grows_and_never_shrinks():
    before = probe._peak_rss()
    if before is None:
        pytest.skip("this system does not tell")
    held = bytearray(80_000_000)
    held[::4096] = b"x" * len(held[::4096])
    after = probe._peak_rss()
    del held
    # Bytes, not kilobytes: Python and torch have tens of millions.
    # The kernel sums its counters lazily: a little less may be told later.
    assert 20_000_000 < before <= after < probe._peak_rss() + 4_000_000
