"""On a real CUDA device: packed equals padded, and running out of memory is survived."""

from __future__ import annotations

import logging

import pytest
import torch
from tests.kinds import KINDS, reference
from tests.samples import MIXED, QUERY, random_texts

from rag_rerankers import ModelOptions, OutOfMemoryError, load_scorer
from rag_rerankers.engine import engine as engine_module
from rag_rerankers.engine.runners import PaddedRunner

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore::rag_rerankers.TruncationWarning"),
]
TEXTS = [*MIXED, *random_texts(21, 40, longest=120)]
TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.4}


def load(kind, make, dtype: str, **options):
    folder = make(kind.maker, **kind.settings)
    return load_scorer(folder, ModelOptions(device="cuda", dtype=dtype, **options))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_float32_scores_equal_the_reference(kind, make):
    expected = reference(kind, make)(QUERY, TEXTS)
    found = load(kind, make, "float32").score(QUERY, TEXTS)
    assert found == pytest.approx(expected, abs=TOLERANCE["float32"])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.packs], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_packed_equals_padded_in_half_precision(kind, dtype, make, monkeypatch):
    found = load(kind, make, dtype).score(QUERY, TEXTS)
    with monkeypatch.context() as patch:
        patch.setattr(
            engine_module,
            "choose_runner",
            lambda model, pad_id, *_, **__: PaddedRunner(model, pad_id),
        )
        padded = load(kind, make, dtype).score(QUERY, TEXTS)
    largest = max(map(abs, padded))
    assert found == pytest.approx(padded, abs=TOLERANCE[dtype] * max(1.0, largest / 10))


@pytest.fixture
def little_memory():
    """Leaves the process a small part of the device's memory."""
    device = torch.device("cuda")
    total = torch.cuda.get_device_properties(device).total_memory

    def leave(n_bytes: int) -> None:
        torch.cuda.empty_cache()
        used = torch.cuda.memory_reserved(device)
        torch.cuda.set_per_process_memory_fraction(min(1.0, (used + n_bytes) / total), device)

    yield leave
    torch.cuda.set_per_process_memory_fraction(1.0, device)


def test_running_out_of_memory_halves_the_budget_and_changes_no_score(make, little_memory, caplog):
    kind = KINDS[0]
    texts = random_texts(22, 3000, longest=120)
    expected = load(kind, make, "float32").score(QUERY, texts)
    scorer = load(kind, make, "float32", batch_tokens=10_000_000)
    little_memory(48 * 2**20)
    with caplog.at_level(logging.WARNING, "rag_rerankers"):
        found = scorer.score(QUERY, texts)
    assert "out of memory" in caplog.text
    assert scorer.engine.batch_tokens < 10_000_000
    assert found == pytest.approx(expected, abs=TOLERANCE["float32"])


def test_one_text_that_does_not_fit_is_an_error_that_says_what_helps(make, little_memory):
    scorer = load(KINDS[0], make, "float32")
    little_memory(0)
    with pytest.raises(OutOfMemoryError, match="device='cpu'"):
        scorer.score(QUERY, ["panda " * 500] * 64)
