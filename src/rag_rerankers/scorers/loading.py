"""Finds out what kind of model a folder holds, and loads it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from rag_rerankers.checkpoints import ALIASES, Kind
from rag_rerankers.engine.device import choose_device, choose_dtype, float_dtype
from rag_rerankers.engine.probe import UnfitForInt8Error
from rag_rerankers.errors import ModelLoadError
from rag_rerankers.hub import resolve
from rag_rerankers.options import ModelOptions
from rag_rerankers.scorers.cross_encoder import CrossEncoderScorer
from rag_rerankers.scorers.late_interaction import LateInteractionScorer
from rag_rerankers.store.token_store import open_store
from rag_rerankers.weights import load_config, read_modules

__all__ = ["detect_kind", "load"]

logger = logging.getLogger(__name__)

_OTHER_HEADS = ("ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")


def load(name: str, options: ModelOptions) -> CrossEncoderScorer | LateInteractionScorer:
    """Load the scorer that fits the model; see :func:`rag_rerankers.load_scorer`."""
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    folder = resolve(name, options)
    config = load_config(folder)
    kind = detect_kind(folder, config)
    known = ALIASES.get(name)
    max_length = options.max_length
    if max_length is None and known is not None and kind == "cross-encoder":
        max_length = known.max_length
    store = open_store(options.store)
    if store is not None and kind == "cross-encoder":
        raise ValueError(
            f"store={options.store!r} is for late-interaction models: {name!r} is a cross-encoder, "
            "which reads query and text together and has nothing to keep"
        )

    def load_in(dtype: torch.dtype) -> CrossEncoderScorer | LateInteractionScorer:
        settings: dict[str, Any] = {
            "device": device,
            "dtype": dtype,
            "max_length": max_length,
            "long_documents": options.long_documents,
            "batch_tokens": options.batch_tokens,
        }
        if kind == "cross-encoder":
            return CrossEncoderScorer.load(folder, **settings)
        return LateInteractionScorer.load(folder, store=store, name=name, **settings)

    try:
        scorer = load_in(dtype)
    except UnfitForInt8Error as error:
        if options.dtype != "auto":
            raise
        logger.warning("%s: %s", name, error)
        scorer = load_in(float_dtype(device))
    logger.info(
        "%s: %s on %s in %s, %s, %d tokens at most",
        name,
        kind,
        scorer.engine.device,
        str(scorer.engine.dtype).removeprefix("torch."),
        "packed" if scorer.engine.packed else "padded",
        scorer.max_length,
    )
    return scorer


def detect_kind(folder: Path, config: Any) -> Kind:
    """Tell a cross-encoder from a late-interaction model by its files.

    Args:
        folder: The model's folder.
        config: Its transformers configuration.

    Raises:
        ModelLoadError: The model generates text, or has a head that is not a reranker's.
    """
    architectures = getattr(config, "architectures", None) or []
    if "HF_ColBERT" in architectures or (folder / "artifact.metadata").is_file():
        return "late-interaction"
    if any(name.endswith("ForSequenceClassification") for name in architectures):
        return "cross-encoder"
    if getattr(config, "is_encoder_decoder", False) or any(
        name.endswith(("ForCausalLM", "ForConditionalGeneration", "LMHeadModel"))
        for name in architectures
    ):
        raise ModelLoadError(
            f"{folder} holds {', '.join(architectures) or 'an encoder-decoder'}, which generates "
            "text: only cross-encoders (…ForSequenceClassification with one label) and "
            "late-interaction encoders are rerankers here"
        )
    if any(name.endswith(_OTHER_HEADS) for name in architectures):
        raise ModelLoadError(
            f"{folder} holds {', '.join(architectures)}, which does not rank texts"
        )
    if not _is_multi_vector(folder):
        logger.warning(
            "%s has no reranking head: scoring by MaxSim over its raw token vectors", folder
        )
    return "late-interaction"


def _is_multi_vector(folder: Path) -> bool:
    """Whether sentence-transformers or PyLate saved it (a packaged plain encoder counts too)."""
    return bool(read_modules(folder))
