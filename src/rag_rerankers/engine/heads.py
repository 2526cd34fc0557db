"""From packed hidden states to logits, for the classification heads that transformers has.

A model's own forward pass takes "the first token of the row", which in a packed row is the first
token of the first sequence only. These heads do the same for every sequence. Which of them is a
model's own is found by trying: see :func:`rag_rerankers.engine.probe.choose_runner`.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from rag_rerankers.engine.attention import PackedLayout

__all__ = ["HEADS", "OF_FIRST_TOKEN", "Head", "HeadModules", "keep_head_in_float32"]


class HeadModules:
    """What transformers calls the parts between the last hidden state and the logit.

    They are copied in float32, whatever the body is in: bfloat16 cannot tell 8.00 from 8.03, and
    ties in the last step would undo differences that the body did see. The parts are tiny.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.pooler = _in_float32(getattr(model.base_model, "pooler", None))
        self.head = _in_float32(getattr(model, "head", None))
        self.classifier = _in_float32(getattr(model, "classifier", None))


def _in_float32(module: Any) -> Any:
    return copy.deepcopy(module).float() if isinstance(module, torch.nn.Module) else None


def keep_head_in_float32(model: PreTrainedModel) -> None:
    """Do the same to a model that runs its own head, by casting what goes into it.

    Args:
        model: A half-precision model; changed in place.
    """
    for owner in (model, model.base_model):
        for name in ("pooler", "pre_classifier", "head", "classifier", "score"):
            module = getattr(owner, name, None)
            if isinstance(module, torch.nn.Module):
                module.float().register_forward_pre_hook(_cast_to_float32)


def _cast_to_float32(module: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for value in inputs
    )


class Head(Protocol):
    """From hidden states, shape (tokens, width), to logits, shape (sequences, ...)."""

    def __call__(
        self, modules: HeadModules, states: torch.Tensor, layout: PackedLayout
    ) -> torch.Tensor:
        """Compute the logits."""
        ...


def _first(states: torch.Tensor, layout: PackedLayout) -> torch.Tensor:
    return states[layout.starts[:-1].long()].float()


def _mean(states: torch.Tensor, layout: PackedLayout) -> torch.Tensor:
    return torch.stack([part.float().mean(dim=0) for part in states.split(list(layout.lengths))])


def _roberta(modules: HeadModules, states: torch.Tensor, layout: PackedLayout) -> torch.Tensor:
    # RoBERTa, XLM-R, CamemBERT, ELECTRA: the classifier takes the first token by itself.
    logits: torch.Tensor = modules.classifier(_first(states, layout)[:, None])
    return logits


def _bert(modules: HeadModules, states: torch.Tensor, layout: PackedLayout) -> torch.Tensor:
    logits: torch.Tensor = modules.classifier(modules.pooler(_first(states, layout)[:, None]))
    return logits


def _modernbert(modules: HeadModules, states: torch.Tensor, layout: PackedLayout) -> torch.Tensor:
    logits: torch.Tensor = modules.classifier(modules.head(_first(states, layout)))
    return logits


def _modernbert_mean(
    modules: HeadModules, states: torch.Tensor, layout: PackedLayout
) -> torch.Tensor:
    logits: torch.Tensor = modules.classifier(modules.head(_mean(states, layout)))
    return logits


OF_FIRST_TOKEN: frozenset[Head] = frozenset({_roberta, _bert, _modernbert})
"""Those that look at nothing but the first token of each sequence."""

HEADS: tuple[Head, ...] = (_roberta, _bert, _modernbert, _modernbert_mean)
"""All of them, to be tried in turn."""
