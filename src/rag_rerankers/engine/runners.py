"""Two ways to run a transformer over a batch of token sequences: packed and padded.

Both give the same numbers; packed computes no padding. Outputs are packed in both cases: the
hidden states of all tokens, sequence after sequence.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from rag_rerankers.engine.attention import PackedLayout, to_device
from rag_rerankers.engine.encoder import FusedEncoder
from rag_rerankers.engine.heads import OF_FIRST_TOKEN, Head, HeadModules
from rag_rerankers.tokenization import TokenSequence

__all__ = ["PackedRunner", "PaddedRunner", "Runner", "first_position"]


_STEPS = ((256, 8), (512, 16))
_LAST_STEP = 32
"""Of what number the tokens of a row are a multiple: the longer, the less a few more matter."""


class Runner(Protocol):
    """Runs a model over one batch.

    Attributes:
        padded: Whether a batch costs as much as a rectangle of its longest sequence.
        equal_lengths: Whether all sequences of a batch must be of one length.
    """

    padded: bool
    equal_lengths: bool

    def hidden(self, batch: Sequence[TokenSequence]) -> torch.Tensor:
        """Last hidden states, shape (tokens of the batch, width), in batch order."""
        ...

    def logits(self, batch: Sequence[TokenSequence]) -> torch.Tensor:
        """One logit per sequence, shape (sequences,), float32."""
        ...


def first_position(model: PreTrainedModel) -> int:
    """Position id of a sequence's first token: RoBERTa's family begins behind its padding id."""
    padding = _position_padding(model)
    return 0 if padding is None else padding + 1


def _position_padding(model: PreTrainedModel) -> int | None:
    embeddings = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding: int | None = getattr(embeddings, "padding_idx", None)
    return padding


class PaddedRunner:
    """The plain way: a rectangle of ids, an attention mask, the model's own forward pass.

    Args:
        model: The model.
        pad_id: Id to fill rows with.
        equal_lengths: Never pad: some architectures (convolutions, Fourier transforms, a summary
            of the last token) let padding leak into the result.
    """

    padded = True

    def __init__(self, model: PreTrainedModel, pad_id: int, *, equal_lengths: bool = False) -> None:
        self.equal_lengths = equal_lengths
        self._model = model
        self._pad_id = pad_id
        self._takes_types = _takes_types(model)

    def hidden(self, batch: Sequence[TokenSequence]) -> torch.Tensor:
        inputs, real = self._inputs(batch)
        states: torch.Tensor = self._model.base_model(**inputs).last_hidden_state
        return states[real]

    def logits(self, batch: Sequence[TokenSequence]) -> torch.Tensor:
        inputs, _ = self._inputs(batch)
        logits: torch.Tensor = self._model(**inputs).logits
        return logits.float().view(-1)

    def _inputs(self, batch: Sequence[TokenSequence]) -> tuple[dict[str, torch.Tensor], Any]:
        shape = (len(batch), max(len(row.ids) for row in batch))
        ids = torch.full(shape, self._pad_id, dtype=torch.long)
        types = torch.zeros(shape, dtype=torch.long)
        attended = torch.zeros(shape, dtype=torch.long)
        real = torch.zeros(shape, dtype=torch.bool)
        for i, row in enumerate(batch):
            length = len(row.ids)
            ids[i, :length] = torch.tensor(row.ids, dtype=torch.long)
            attended[i, : row.n_attended] = 1
            real[i, :length] = True
            if row.type_ids:
                types[i, :length] = torch.tensor(row.type_ids)
        inputs = {"input_ids": ids, "attention_mask": attended}
        if self._takes_types and any(row.type_ids for row in batch):
            inputs["token_type_ids"] = types
        device = self._model.device
        on_device = {name: to_device(value, device) for name, value in inputs.items()}
        return on_device, to_device(real, device)


class PackedRunner:
    """The fast way: all sequences end to end in one row.

    Args:
        model: A model; without ``encoder`` its attention is set to ``PACKED_ATTENTION``.
        head: How its logits come from the hidden states; None for a model without logits.
        encoder: Runs the model's layers in its place, if it is of a family that can be.
    """

    padded = False
    equal_lengths = False

    def __init__(
        self,
        model: PreTrainedModel,
        head: Head | None = None,
        encoder: FusedEncoder | None = None,
    ) -> None:
        self._body = model.base_model
        self._device = model.device
        self._first_position = first_position(model)
        self._position_padding = _position_padding(model)
        self._takes_types = _takes_types(model.base_model)
        self._head = head
        self._head_modules = None if head is None else HeadModules(model)
        self.encoder = encoder

    def hidden(self, batch: Sequence[TokenSequence]) -> torch.Tensor:
        states, _ = self._run(self._filled(batch), firsts=False)
        return states[: sum(len(row.ids) for row in batch)]

    def logits(self, batch: Sequence[TokenSequence]) -> torch.Tensor:
        assert self._head is not None
        assert self._head_modules is not None
        firsts = self.encoder is not None and self._head in OF_FIRST_TOKEN
        states, layout = self._run(self._filled(batch), firsts=firsts)
        if firsts:
            layout = PackedLayout.of([1] * len(states), [1] * len(states), self._device)
        return self._head(self._head_modules, states, layout).view(-1)[: len(batch)]

    def _filled(self, batch: Sequence[TokenSequence]) -> Sequence[TokenSequence]:
        """The batch with a scrap behind it, so that lengths of rows recur.

        oneDNN keeps a program for each length that it has seen, and blocks of memory that are
        never of one size leave gaps: over thousands of texts both add up to hundreds of megabytes.
        """
        tokens = sum(len(row.ids) for row in batch)
        step = next((step for below, step in _STEPS if tokens < below), _LAST_STEP)
        missing = -tokens % step
        if self._device.type != "cpu" or not missing:
            return batch
        return [*batch, TokenSequence([batch[0].ids[0]] * missing)]

    def _run(
        self, batch: Sequence[TokenSequence], *, firsts: bool
    ) -> tuple[torch.Tensor, PackedLayout]:
        lengths = [len(row.ids) for row in batch]
        ids = torch.tensor(list(chain.from_iterable(row.ids for row in batch)))
        positions = torch.cat([torch.arange(length) for length in lengths]) + self._first_position
        if self._position_padding is not None and (ids == self._position_padding).any():
            positions = self._positions_around_padding(ids, lengths)
        inputs = {"input_ids": ids, "position_ids": positions}
        if self._takes_types:
            inputs["token_type_ids"] = torch.tensor(
                list(chain.from_iterable(row.type_ids or [0] * len(row.ids) for row in batch))
            )
        layout = PackedLayout.of(lengths, [row.n_attended for row in batch], self._device)
        inputs = {name: to_device(row[None], self._device) for name, row in inputs.items()}
        if self.encoder is not None:
            return self.encoder(layout, firsts=firsts, **inputs), layout
        states: torch.Tensor = self._body(**inputs, packed_layout=layout).last_hidden_state
        return states[0], layout

    def _positions_around_padding(self, ids: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        # A text may spell out the padding token. RoBERTa's own rule: it stands at the padding
        # position, and the tokens behind it are counted as if it were not there.
        assert self._position_padding is not None
        rows = []
        for row in ids.split(lengths):
            real = (row != self._position_padding).long()
            rows.append(real.cumsum(0) * real + self._position_padding)
        return torch.cat(rows)


def _takes_types(model: torch.nn.Module) -> bool:
    return "token_type_ids" in inspect.signature(model.forward).parameters
