"""Decides by trying whether a model can run packed.

No list of architectures: a few short sequences go through the model one by one, which is the truth,
and then together: packed, or else padded, is used if, and only if, it gives the same numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import PreTrainedModel

from rag_rerankers.engine.attention import PACKED_ATTENTION
from rag_rerankers.engine.encoder import FusedEncoder
from rag_rerankers.engine.heads import HEADS, Head, keep_head_in_float32
from rag_rerankers.engine.linear import quantize_modules
from rag_rerankers.engine.runners import PackedRunner, PaddedRunner, Runner
from rag_rerankers.quiet import quiet_transformers
from rag_rerankers.tokenization import TokenSequence

__all__ = ["UnfitForInt8Error", "choose_runner"]

logger = logging.getLogger(__name__)

# Largest difference, relative to the size of the numbers, that is rounding and not a mistake.
_HIDDEN_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}
# A logit adds up rounding of the whole model; a wrong head is off by its whole size.
_LOGIT_TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-2, torch.bfloat16: 1.5e-1}
# Rounding to 8 bits moves hidden states by a few per cent; more says that it does not work.
_INT8_TOLERANCE = 0.25
# Logits near 0 are compared with this instead of with themselves.
_LOGIT_SIZE = {torch.float32: 1e-3, torch.float16: 1e-1, torch.bfloat16: 1e-1}


class UnfitForInt8Error(ValueError):
    """The model's numbers do not survive int8."""


def choose_runner(
    model: PreTrainedModel,
    pad_id: int,
    wrap: Callable[[Sequence[int]], TokenSequence] = TokenSequence,
    *,
    with_logits: bool,
    int8: bool = False,
) -> Runner:
    """Return the fastest runner that gives the model's own numbers.

    Args:
        model: A loaded model in evaluation mode on its device. Its attention is switched to the
            packed one if that works and is needed.
        pad_id: Id to fill padded rows with.
        wrap: Puts special tokens around ids.
        with_logits: Whether the logits are wanted (a cross-encoder) or the hidden states.
        int8: Multiply in int8. The model's own linear layers are given up for that.

    Returns:
        A packed runner if the model can run packed; else a padded one, which keeps lengths apart
        if padding changes the results.

    Raises:
        UnfitForInt8Error: The model's numbers do not survive int8.
    """
    padded = PaddedRunner(model, pad_id)
    batch = list(_sequences(model, wrap, partly_hidden=not with_logits))
    run = padded.logits if with_logits else padded.hidden
    with torch.inference_mode():
        alone = torch.cat([run([row]) for row in batch])
        hidden = torch.cat([padded.hidden([row]) for row in batch]) if with_logits else alone
        runner: Runner | None = _packed(model, batch, alone, hidden, with_logits=with_logits)
        if runner is None:
            runner = _padded(model, pad_id, batch, alone, with_logits=with_logits)
        if int8:
            runner = _in_int8(model, runner)
            states = torch.cat([runner.hidden([row]) for row in batch])
            if not _difference(states, hidden) <= _INT8_TOLERANCE:
                raise UnfitForInt8Error(
                    f"dtype='int8' changes what {type(model).__name__} computes by "
                    f"{_difference(states, hidden):.0%}: use 'float32' or 'bfloat16' for it"
                )
        else:
            _lay_out(model, runner)
    return runner


def _packed(
    model: PreTrainedModel,
    batch: list[TokenSequence],
    alone: torch.Tensor,
    hidden: torch.Tensor,
    *,
    with_logits: bool,
) -> PackedRunner | None:
    """The packed runner that reproduces the model, if one does: our own layers, or the model's."""
    own_attention = model.config._attn_implementation

    def fused() -> FusedEncoder | None:
        return FusedEncoder(model)

    def registered() -> FusedEncoder | None:
        with quiet_transformers():
            model.set_attn_implementation(PACKED_ATTENTION)
        return None

    def attempt(make: Callable[[], FusedEncoder | None]) -> PackedRunner | None:
        try:
            encoder = make()
            runner = PackedRunner(model, encoder=encoder)
            if not _same_hidden(runner.hidden(batch), hidden, model.dtype):
                return None
            if not with_logits:
                return runner
            head = _best_head(model, batch, alone, encoder)
            return None if head is None else PackedRunner(model, head, encoder)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # Whatever goes wrong here only says that this architecture is not made for it.
            logger.debug("%s cannot run packed: %s", type(model).__name__, error, exc_info=True)
            return None

    runner = attempt(fused) or attempt(registered)
    if runner is not None:
        return runner
    with quiet_transformers():
        model.set_attn_implementation(own_attention)
    return None


def _padded(
    model: PreTrainedModel,
    pad_id: int,
    batch: list[TokenSequence],
    alone: torch.Tensor,
    *,
    with_logits: bool,
) -> PaddedRunner:
    padded = PaddedRunner(model, pad_id)
    together = (padded.logits if with_logits else padded.hidden)(batch)
    leaks = not (_same_logits if with_logits else _same_hidden)(together, alone, model.dtype)
    logger.info(
        "%s runs padded%s: its own code does not allow packing",
        type(model).__name__,
        ", equal lengths only, because padding changes its results" if leaks else "",
    )
    if with_logits and model.dtype != torch.float32:
        keep_head_in_float32(model)
    return PaddedRunner(model, pad_id, equal_lengths=leaks)


def _lay_out(model: PreTrainedModel, runner: Runner) -> None:
    """Put our own layers' weights into the order in which this CPU multiplies them fastest."""
    encoder = runner.encoder if isinstance(runner, PackedRunner) else None
    if encoder is not None and model.device.type == "cpu":
        encoder.pack()


def _in_int8(model: PreTrainedModel, runner: Runner) -> Runner:
    """The same runner with its products in int8; float weights that it replaces are freed."""
    if isinstance(runner, PackedRunner) and runner.encoder is not None:
        encoder = FusedEncoder(model, int8=True)
        runner.encoder.release()
        runner.encoder = encoder
    else:
        quantize_modules(model.base_model)
    return runner


def _difference(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative to the size of what is expected."""
    return float((got.float() - expected.float()).norm() / expected.float().norm())


def _same_hidden(got: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    if got.shape != expected.shape:
        return False
    return _difference(got, expected) <= _HIDDEN_TOLERANCE[dtype]  # False for NaN as well


def _same_logits(got: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    return _logit_difference(got, expected, dtype) <= _LOGIT_TOLERANCE[dtype]


def _logit_difference(got: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> float:
    if got.shape != expected.shape:
        return float("inf")
    size = expected.norm().clamp_min(_LOGIT_SIZE[dtype] * len(expected) ** 0.5)
    return float((got - expected).norm() / size)


def _best_head(
    model: PreTrainedModel,
    batch: list[TokenSequence],
    expected: torch.Tensor,
    encoder: FusedEncoder | None,
) -> Head | None:
    """The head whose logits come closest to the model's own, if that is close enough."""
    best: Head | None = None
    least = _LOGIT_TOLERANCE[model.dtype]
    for head in HEADS:
        try:
            got = PackedRunner(model, head, encoder).logits(batch)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, TypeError, RuntimeError) as error:
            logger.debug("not the head of %s: %s", type(model).__name__, error)
            continue
        difference = _logit_difference(got, expected, model.dtype)
        if difference <= least:
            best, least = head, difference
    return best


def _sequences(
    model: PreTrainedModel, wrap: Callable[[Sequence[int]], TokenSequence], *, partly_hidden: bool
) -> Iterator[TokenSequence]:
    """Different lengths, one of them longer than a sliding window, one partly unattended."""
    lengths = [9, 4, 6, 6]
    config = model.config
    n_special = len(wrap([]).ids)
    window = getattr(config, "sliding_window", None) or getattr(config, "local_attention", None)
    longest = getattr(config, "max_position_embeddings", None) or 512
    if isinstance(window, int):
        lengths.append(2 * window + 3)
    lengths = [max(1, min(length, longest - 2 - n_special)) for length in lengths]
    generator = torch.Generator().manual_seed(0)
    # The first ids of a vocabulary are padding and other specials.
    first = min(5, config.vocab_size - 1)
    for i, length in enumerate(lengths):
        ids = torch.randint(first, config.vocab_size, (length,), generator=generator).tolist()
        row = wrap(ids)
        if i == 0 and partly_hidden:
            row = row._replace(attended=len(row.ids) - 3)
        yield row
