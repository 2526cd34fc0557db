from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from rag_rerankers.engine import heads
from rag_rerankers.engine.attention import PackedLayout
from rag_rerankers.engine.heads import HEADS, HeadModules

LENGTHS = (5, 2, 3)
LAYOUT = PackedLayout.of(LENGTHS, LENGTHS, torch.device("cpu"))
STATES = torch.randn(10, 32, generator=torch.Generator().manual_seed(0))


def load(make, maker: str, dtype=torch.float32, **settings):
    return AutoModelForSequenceClassification.from_pretrained(
        make(maker, **settings), local_files_only=True, dtype=dtype
    ).eval()


def own_logits(model, states: torch.Tensor) -> torch.Tensor:
    """What the model's forward pass makes of these last hidden states, one sequence at a time."""
    found = []
    for part in states.split(list(LENGTHS)):
        hook = model.base_model.register_forward_hook(
            lambda module, _, output, part=part: replaced(module, output, part)
        )
        ids = torch.full((1, len(part)), 9)
        found.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0])
        hook.remove()
    return torch.stack(found)


def replaced(module, output, part: torch.Tensor):
    output.last_hidden_state = part[None]
    if getattr(module, "pooler", None) is not None:
        output.pooler_output = module.pooler(part[None])
    return output


@pytest.mark.parametrize(
    ("maker", "settings", "head"),
    [
        ("xlmr_reranker", {}, heads._roberta),
        ("roberta_reranker", {}, heads._roberta),
        ("electra_reranker", {}, heads._roberta),
        ("bert_reranker", {}, heads._bert),
        ("modernbert_reranker", {"pooling": "cls"}, heads._modernbert),
        ("modernbert_reranker", {"pooling": "mean"}, heads._modernbert_mean),
    ],
)
@torch.inference_mode()
def test_a_head_gives_what_the_models_own_forward_pass_gives(make, maker, settings, head):
    model = load(make, maker, **settings)
    got = head(HeadModules(model), STATES, LAYOUT)
    torch.testing.assert_close(got, own_logits(model, STATES), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_heads_compute_in_float32_and_leave_the_model_as_it_is(make, dtype):
    model = load(make, "bert_reranker", dtype)
    modules = HeadModules(model)
    assert {p.dtype for p in modules.classifier.parameters()} == {torch.float32}
    assert {p.dtype for p in modules.pooler.parameters()} == {torch.float32}
    assert {p.dtype for p in model.parameters()} == {dtype}
    logits = heads._bert(modules, STATES.to(dtype), LAYOUT)
    assert logits.dtype == torch.float32


def test_every_head_is_tried():
    assert set(HEADS) == {
        heads._roberta,
        heads._bert,
        heads._modernbert,
        heads._modernbert_mean,
    }
